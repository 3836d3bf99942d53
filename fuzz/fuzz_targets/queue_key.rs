#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| northstar::queue::fuzzing::key(bytes));
