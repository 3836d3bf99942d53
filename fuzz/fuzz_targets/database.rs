#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::database::open_with_a_changed_file(bytes));
