//! Looking up before anything else: no lease, age or silence ever leads straight to another charge.

use domain::charge::{Answer, Doubt, GatewayName, Heard, LiveAttempt, Lookup, Profile, Trigger};
use domain::resolve::{Next, after_lookup, look_after_silence, next_look};
use domain::subscription::{Due, StartRefused};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use crate::books::Books;
use crate::fixtures::{at, by_call, captured, days, hours, minutes, refused, soft, unknown};

fn in_flight(gateway: GatewayName) -> (Books, LiveAttempt) {
    let mut books = Books::active(gateway);
    let due = books.subscription.due_at.unwrap();
    let live = books.start(Trigger::Renewal, due);
    (books, live)
}

fn gateway() -> impl Strategy<Value = GatewayName> {
    prop_oneof![Just(GatewayName::Toss), Just(GatewayName::Stripe)]
}

fn heard() -> impl Strategy<Value = Heard> {
    prop_oneof![Just(Heard::Nothing), Just(Heard::Refusal), Just(Heard::Error)]
}

fn delay(profile: &Profile, heard: Heard) -> SignedDuration {
    match heard {
        Heard::Refusal => profile.absent_after_refusal,
        Heard::Nothing | Heard::Error => profile.absent_after_error,
    }
}

fn doubtful(live: &LiveAttempt, doubt: Doubt) -> LiveAttempt {
    LiveAttempt { unknown: Some(doubt), ..live.clone() }
}

#[test]
fn the_key_windows_and_delays_are_those_of_the_design() {
    let toss = GatewayName::Toss.profile();
    assert_eq!((toss.key_window, toss.absent_after_refusal, toss.absent_after_error), (days(13), minutes(1), hours(1)));
    let stripe = GatewayName::Stripe.profile();
    assert_eq!(
        (stripe.key_window, stripe.absent_after_refusal, stripe.absent_after_error),
        (hours(20), hours(1), hours(1))
    );
}

#[test]
fn an_expired_lease_means_look_up_and_never_charge() {
    let (books, live) = in_flight(GatewayName::Toss);
    for late in [SignedDuration::ZERO, hours(1), days(1), days(14), days(400)] {
        let now = live.lease_until + late;
        assert_eq!(books.due(now), Due::Resolve);
        for trigger in [Trigger::Renewal, Trigger::Dunning, Trigger::Manual] {
            assert_eq!(books.subscription.may_charge(trigger, now), Err(StartRefused::LiveAttempt));
        }
    }
    assert_eq!(books.due(live.lease_until - minutes(1)), Due::Wait(live.lease_until), "a lease is left in peace");
}

#[test]
fn an_unknown_outcome_is_looked_up_soon_and_never_charged() {
    let (mut books, live) = in_flight(GatewayName::Toss);
    books.settle(&by_call(&live, unknown(Heard::Nothing, &live)), live.started_at);
    let soon = books.subscription.due_at.unwrap();
    assert!(soon > live.started_at && soon <= live.started_at + minutes(1));
    assert_eq!(books.due(soon - SignedDuration::from_secs(1)), Due::Wait(soon));
    assert_eq!(books.due(soon), Due::Resolve);
    assert_eq!(books.due(soon + days(100)), Due::Resolve);
}

#[test]
fn what_a_late_capture_paid_or_a_stop_ended_is_looked_up_but_not_sent_again() {
    for gateway in GatewayName::ALL {
        let (mut books, first) = in_flight(gateway);
        assert!(books.subscription.may_resend());
        let capture = captured(&books.subscription, &first);
        books.settle(&by_call(&first, refused()), first.started_at);
        assert!(!books.subscription.may_resend(), "nothing is in flight");
        let second = books.start(Trigger::Renewal, first.started_at + hours(2));
        let cancelled = books.subscription.lapsed(second.started_at).unwrap().0;
        assert!(books.subscription.may_resend() && !cancelled.may_resend());
        books.settle(&by_call(&first, capture), second.started_at);
        assert!(!books.subscription.may_resend(), "its cycle is paid");
        assert_eq!(books.due(second.lease_until), Due::Resolve, "but it is looked up, not left to next month");
        let next = after_lookup(&second, &gateway.profile(), Lookup::NotFound, false, second.lease_until).unwrap();
        assert!(matches!(next, Next::Look { .. }));
        books.close_absent(&second);
        let due = books.subscription.due_at.unwrap();
        assert!(due > first.started_at + days(20) && books.due(due) == Due::Charge(Trigger::Renewal));
        let third = books.start(Trigger::Renewal, due);
        assert_eq!((third.index, third.n), (second.index + 1, 1), "the next cycle counts from one");
    }
}

#[test]
fn looks_back_off_to_once_an_hour() {
    let now = crate::fixtures::birth();
    let gaps = [0, 1, 2, 3, 4, 40, u32::MAX].map(|looks| next_look(now, looks).unwrap().duration_since(now).as_secs());
    assert_eq!(gaps, [30, 120, 480, 1_920, 3_600, 3_600, 3_600]);
}

#[test]
fn a_payment_the_gateway_is_working_on_refutes_an_empty_lookup() {
    let (_, live) = in_flight(GatewayName::Toss);
    let profile = live.gateway.profile();
    let error = doubtful(&live, Doubt { heard: Heard::Error, empty: 0, last_empty_at: None, looks: 0 });
    let look = |live: &LiveAttempt, lookup, now| match after_lookup(live, &profile, lookup, true, now).unwrap() {
        Next::Look { doubt, .. } => doubtful(live, doubt),
        other => panic!("{other:?}"),
    };
    let now = live.started_at + hours(1);
    let empty = look(&error, Lookup::NotFound, now);
    let pending = look(&empty, Lookup::Pending, now + hours(1));
    let again = look(&pending, Lookup::NotFound, now + hours(2));
    let failed = look(&again, Lookup::Failed, now + hours(2) + minutes(30));
    assert_eq!(failed.unknown.as_ref().unwrap().last_empty_at, Some(now + hours(2)), "a failed question says nothing");
    let next = after_lookup(&failed, &profile, Lookup::NotFound, true, now + hours(3)).unwrap();
    assert_eq!(next, Next::Absent);
}

/// A history of lookups of one attempt: minutes since the one before, and what it found.
fn lookups() -> impl Strategy<Value = Vec<(i64, Option<bool>)>> {
    let found = prop_oneof![6 => Just(None), 1 => Just(Some(false)), 1 => Just(Some(true))];
    prop::collection::vec((0i64..6_000, found), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_resent_outside_the_key_window_or_after_an_answer_or_without_what_was_frozen(
        gateway in gateway(), heard in heard(), resendable in any::<bool>(), age in 0i64..40_000,
    ) {
        let (_, live) = in_flight(gateway);
        let live = doubtful(&live, Doubt { heard, empty: 0, last_empty_at: None, looks: 0 });
        let now = live.started_at + minutes(age);
        let next = after_lookup(&live, &gateway.profile(), Lookup::NotFound, resendable, now).unwrap();
        let inside = now < live.started_at + gateway.profile().key_window;
        prop_assert_eq!(next == Next::Resend, inside && resendable && heard == Heard::Nothing);
        prop_assert_ne!(next, Next::Absent, "one empty lookup proves nothing");
    }

    #[test]
    fn absence_takes_two_empty_lookups_a_profile_delay_apart_and_after_the_lease(
        gateway in gateway(), heard in heard(), looks in lookups(),
    ) {
        let (_, mut live) = in_flight(gateway);
        live = doubtful(&live, Doubt { heard, empty: 0, last_empty_at: None, looks: 0 });
        let profile = gateway.profile();
        let mut now = live.started_at;
        let mut first_empty: Option<Timestamp> = None;
        for (wait, found) in looks {
            now += minutes(wait);
            let lookup = match found { None => Lookup::NotFound, Some(false) => Lookup::Failed, Some(true) => Lookup::Pending };
            match after_lookup(&live, &profile, lookup, false, now).unwrap() {
                Next::Absent => {
                    prop_assert!(found.is_none());
                    prop_assert!(first_empty.is_some_and(|at| at + delay(&profile, heard) <= now));
                    return Ok(());
                }
                Next::Look { doubt, at } => {
                    prop_assert!(at > now, "never a hot loop");
                    let proved = found.is_none() && first_empty.is_some_and(|at| at + delay(&profile, heard) <= now);
                    prop_assert!(!proved, "and nothing is left open longer");
                    live = doubtful(&live, doubt);
                }
                other => prop_assert!(false, "{:?}", other),
            }
            let counts = now >= live.lease_until;
            first_empty = match found {
                Some(true) => None,
                None if counts => first_empty.or(Some(now)),
                None | Some(false) => first_empty,
            };
        }
    }

    #[test]
    fn a_found_answer_is_settled_whatever_was_doubted(gateway in gateway(), heard in heard(), age in 0i64..40_000, empty in 0u32..3) {
        let (books, live) = in_flight(gateway);
        let now = live.started_at + minutes(age);
        let last_empty_at = (empty > 0).then_some(live.started_at);
        let live = doubtful(&live, Doubt { heard, empty, last_empty_at, looks: empty });
        for answer in [captured(&books.subscription, &live), soft(&live), refused()] {
            let next = after_lookup(&live, &gateway.profile(), Lookup::Found(answer.clone()), true, now).unwrap();
            prop_assert_eq!(next, Next::Settle(answer));
        }
        let open = Answer::Unknown { heard, code: None, intent: None };
        for lookup in [Lookup::Found(open), Lookup::Pending, Lookup::Failed] {
            let next = after_lookup(&live, &gateway.profile(), lookup, true, now).unwrap();
            prop_assert!(matches!(next, Next::Look { .. }), "{:?}", next);
        }
    }
}

#[test]
fn what_was_seen_is_counted() {
    let (_, live) = in_flight(GatewayName::Toss);
    let profile = GatewayName::Toss.profile();
    let now = live.lease_until;
    let doubt = Doubt { heard: Heard::Error, empty: 0, last_empty_at: None, looks: 3 };
    let look = |live: &LiveAttempt, lookup| match after_lookup(live, &profile, lookup, true, now).unwrap() {
        Next::Look { doubt, .. } => doubt,
        other => panic!("{other:?}"),
    };
    let empty = look(&doubtful(&live, doubt), Lookup::NotFound);
    assert_eq!((empty.empty, empty.looks, empty.last_empty_at), (1, 4, Some(now)));
    let pending = look(&doubtful(&live, empty.clone()), Lookup::Pending);
    assert_eq!((pending.empty, pending.looks, pending.last_empty_at), (0, 5, None), "it was there after all");
    let failed = look(&doubtful(&live, empty.clone()), Lookup::Failed);
    assert_eq!(failed, Doubt { looks: 5, ..empty }, "a failed question says nothing");
}

#[test]
fn after_silence_the_next_look_waits_for_half_of_it_and_an_hour_at_most() {
    let start = at("2027-03-01T00:00:00Z");
    for (silent, wait) in [(0, 0), (60, 30), (3_600, 1_800), (7_200, 3_600), (90_000, 3_600), (-60, 0)] {
        let now = start + SignedDuration::from_secs(silent);
        assert_eq!(look_after_silence(now, start).unwrap(), now + SignedDuration::from_secs(wait), "{silent} s");
    }
}

#[test]
fn what_is_not_the_renewal_may_be_sent_again_whatever_is_owed() {
    let (mut books, live) = in_flight(GatewayName::Toss);
    books.subscription.live = Some(LiveAttempt { seq: 1, index: 0, ..live.clone() });
    assert!(books.subscription.may_resend());
    books.subscription.live = Some(LiveAttempt { index: 0, ..live });
    assert!(!books.subscription.may_resend(), "a renewal that is paid is not");
}
