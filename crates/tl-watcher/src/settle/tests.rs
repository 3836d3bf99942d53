use proptest::prelude::*;

use super::*;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn options() -> SettleOptions {
    SettleOptions::default()
}

#[test]
fn a_save_in_a_quiet_directory_is_due_after_four_milliseconds() {
    let start = Instant::now();
    let mut saved = Waiting::new(Activity::Created, start);
    saved.touch(Activity::Modified, start);
    saved.touch(Activity::Settled, start + ms(1));
    assert_eq!(saved.due(Some(start + ms(1)), Pace::Quick, &options()), start + ms(5));
}

#[test]
fn a_link_that_is_never_closed_does_not_wait_for_the_limit() {
    let start = Instant::now();
    let link = Waiting::new(Activity::Created, start);
    assert_eq!(link.due(None, Pace::Quick, &options()), start + ms(40));
}

#[test]
fn an_open_file_waits_two_seconds_from_its_first_write_at_any_pace() {
    let start = Instant::now();
    let mut open = Waiting::new(Activity::Modified, start);
    open.touch(Activity::Modified, start + ms(1900));
    for pace in [Pace::Quick, Pace::Coalesced { not_before: start }] {
        assert_eq!(open.due(Some(start + ms(1900)), pace, &options()), start + ms(2000));
    }
}

#[test]
fn a_busy_neighbour_delays_by_little_and_not_at_all_while_coalescing() {
    let start = Instant::now();
    let saved = Waiting::new(Activity::Settled, start);
    let busy = Some(start + ms(1500));
    assert_eq!(saved.due(busy, Pace::Quick, &options()), start + ms(40));
    let coalesced = Pace::Coalesced { not_before: start };
    assert_eq!(saved.due(busy, coalesced, &options()), start + ms(300));
}

#[test]
fn a_file_saved_without_end_is_due_at_the_limit() {
    let start = Instant::now();
    let mut saved = Waiting::new(Activity::Settled, start);
    for step in 1..1000 {
        saved.touch(Activity::Settled, start + ms(step * 3));
    }
    let coalesced = Pace::Coalesced { not_before: start };
    assert_eq!(saved.due(Some(start + ms(2997)), coalesced, &options()), start + ms(2000));
    assert_eq!(saved.due(Some(start + ms(2997)), Pace::Quick, &options()), start + ms(2000));
}

#[test]
fn requeueing_does_not_hide_that_a_file_was_closed_meanwhile() {
    let start = Instant::now();
    let mut path = Waiting::new(Activity::Settled, start);
    path.touch(Activity::Requeued, start);
    assert_eq!(path.due(Some(start), Pace::Quick, &options()), start + ms(4));
    let unstable = Waiting::new(Activity::Requeued, start);
    assert_eq!(unstable.due(None, Pace::Quick, &options()), start + ms(300));
}

#[test]
fn twenty_checkpoints_a_second_are_never_slowed_down() {
    let start = Instant::now();
    let mut throttle = Throttle::new(&options(), start);
    for step in 0..2000 {
        let now = start + ms(step * 50);
        assert_eq!(throttle.pace(now), Pace::Quick, "checkpoint {step}");
        throttle.checkpointed(now);
    }
}

#[test]
fn beyond_the_burst_paths_coalesce_until_a_second_of_rest() {
    let start = Instant::now();
    let mut throttle = Throttle::new(&options(), start);
    let mut now = start;
    let mut quick = 0;
    while throttle.pace(now) == Pace::Quick {
        throttle.checkpointed(now);
        now += ms(1);
        quick += 1;
    }
    assert!((64..70).contains(&quick), "{quick} checkpoints before coalescing");
    let quick_from = throttle.quick_from().expect("coalescing");
    assert!(quick_from - now > ms(900) && quick_from - now < ms(1100), "{:?}", quick_from - now);
    assert_ne!(throttle.pace(quick_from - ms(1)), Pace::Quick);
    assert_eq!(throttle.pace(quick_from), Pace::Quick);
}

#[test]
fn options_out_of_range_are_refused() {
    let with = |change: fn(&mut SettleOptions)| {
        let mut options = options();
        change(&mut options);
        options.check()
    };
    assert!(options().check().is_ok());
    assert!(with(|o| o.window = ms(199)).is_err());
    assert!(with(|o| o.window = ms(501)).is_err());
    assert!(with(|o| o.rate_per_second = 0).is_err());
    assert!(with(|o| o.quiet = ms(41)).is_err());
}

fn activity() -> impl Strategy<Value = Activity> {
    prop_oneof![Just(Activity::Settled), Just(Activity::Created), Just(Activity::Modified), Just(Activity::Requeued)]
}

proptest! {
    /// Whatever happens to a path, and whatever the pace, it is not due before something happened nor later than the limit.
    #[test]
    fn no_path_waits_longer_than_the_limit(
        events in prop::collection::vec((activity(), 0u64..400_000), 1..60),
        neighbours in prop::option::of(0u64..10_000_000),
        quick in any::<bool>(),
    ) {
        let start = Instant::now();
        let mut now = start;
        let mut waiting: Option<Waiting> = None;
        for (activity, gap) in events {
            now += Duration::from_micros(gap);
            match &mut waiting {
                Some(waiting) => waiting.touch(activity, now),
                None => waiting = Some(Waiting::new(activity, now)),
            }
        }
        let waiting = waiting.expect("at least one event");
        let pace = if quick { Pace::Quick } else { Pace::Coalesced { not_before: start } };
        let neighbours = neighbours.map(|micros| start + Duration::from_micros(micros));
        let due = waiting.due(neighbours, pace, &options());
        prop_assert!(due >= waiting.first);
        prop_assert!(due <= waiting.first + options().wait_max);
    }

    /// A path whose directory has been quiet for the shortest time is due at the quick pace, unless it is open.
    #[test]
    fn what_ended_is_due_once_its_directory_is_quiet(last in 0u64..1000, neighbour in 0u64..1000) {
        let start = Instant::now();
        let waiting = Waiting::new(Activity::Settled, start + ms(last));
        let due = waiting.due(Some(start + ms(neighbour)), Pace::Quick, &options());
        prop_assert!(due <= start + ms(last.max(neighbour)) + options().quiet);
        prop_assert!(due <= start + ms(last) + options().neighbours_max);
    }

    /// However often the consumer would like to, it makes no more checkpoints than the bucket holds at first plus what drips in.
    #[test]
    fn checkpoints_stay_below_the_rate(gaps in prop::collection::vec(0u64..60_000, 100..600)) {
        let start = Instant::now();
        let mut now = start;
        let mut throttle = Throttle::new(&options(), start);
        let mut made = 0u64;
        for gap in gaps {
            now += Duration::from_micros(gap);
            let allowed = match throttle.pace(now) {
                Pace::Quick => true,
                Pace::Coalesced { not_before } => now >= not_before,
            };
            if allowed {
                throttle.checkpointed(now);
                made += 1;
            }
        }
        let elapsed = now - start;
        // In the coalesced pace the gap between two is a token's time, so that those add at most the rate once more.
        let bound = 64 + 2 + elapsed.as_millis() as u64 * 32 / 1000;
        prop_assert!(made <= bound, "{made} checkpoints in {elapsed:?}");
    }
}
