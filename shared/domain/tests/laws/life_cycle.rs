//! Life cycles: every transition function keeps to the published steps or refuses.

use domain::charge::{GatewayName, Trigger};
use domain::cycle::State;
use domain::onboarding::{Application, DecideError, Status as ApplicationStatus, Verdict};
use domain::subscription::{Due, StartRefused, Status, Subscription};
use jiff::Timestamp;

use crate::applications::application;
use crate::books::Books;
use crate::fixtures::{at, birth, by_call, captured, claim, days, hard, hours, method, refused, soft, unapproved};

#[test]
fn what_is_due_follows_from_the_state_even_if_the_index_brings_it_too_early() {
    let now = birth() + days(40);
    let early = |s: Subscription| Subscription { due_at: Some(birth()), ..s }.due(now).unwrap();
    let mut books = Books::active(GatewayName::Toss);
    books.hear(Trigger::Renewal, now, soft);
    let in_dunning = books.subscription;
    assert_eq!(early(in_dunning.clone()), Due::Nothing, "neither its next retry nor its deadline has come");
    let suspended = in_dunning.suspended(now).unwrap().0;
    assert_eq!(early(suspended.clone()), Due::Nothing);
    assert_eq!(early(suspended.lapsed(now).unwrap().0), Due::Nothing);
    assert_eq!(suspended.due(now + days(30)).unwrap(), Due::Terminate);
    let spent = Subscription { tries: 8, dunning: None, ..in_dunning.clone() };
    let next_at = Some(now);
    let case = domain::dunning::DunningCase { next_at, ..in_dunning.dunning.clone().unwrap() };
    assert_eq!(
        early(Subscription { tries: 8, dunning: Some(case), ..in_dunning }),
        Due::Nothing,
        "it may not be charged"
    );
    let unpaid = Books::approved(GatewayName::Toss).subscription;
    let unpaid = Subscription { tries: spent.tries, approved_at: Some(now), ..unpaid };
    assert_eq!(early(unpaid), Due::Nothing, "nor may this");
}

#[test]
fn cancelling_closes_the_case_in_the_same_value() {
    let mut books = Books::active(GatewayName::Toss);
    let due = books.subscription.due_at.unwrap();
    books.hear(Trigger::Renewal, due, soft);
    assert!(books.subscription.dunning.is_some());
    let (cancelled, fact) = books.subscription.lapsed(due + days(2)).unwrap();
    assert_eq!((&cancelled.dunning, cancelled.due_at), (&None, Some(due + days(32))));
    assert_eq!(fact.kind, "subscription.cancelled");
}

#[test]
fn only_an_open_cycle_is_given_up() {
    let mut books = Books::active(GatewayName::Toss);
    books.hear(Trigger::Renewal, birth() + days(40), soft);
    let open = books.cycle(1).clone();
    let paid = books.cycle(0).state.clone();
    for state in [paid, State::Void, State::Uncollectible] {
        assert_eq!(domain::cycle::Cycle { state, ..open.clone() }.uncollectible(), None);
    }
    assert_eq!(open.uncollectible().unwrap().0.state, State::Uncollectible);
}

/// A subscription as it would be in each status, without an attempt in flight.
fn in_status(status: Status) -> Subscription {
    let active = Books::active(GatewayName::Toss).subscription;
    match status {
        Status::Draft => Subscription { status, ..unapproved(GatewayName::Toss) },
        Status::PendingActivation => unapproved(GatewayName::Toss).approved(birth()),
        Status::Active => active,
        Status::Suspended | Status::Cancelled | Status::Terminated => {
            Subscription { status, stopped_at: Some(birth()), ..active }
        }
    }
}

#[test]
fn the_life_cycle_is_the_published_one() {
    use Status::{Active, Cancelled, Draft, PendingActivation, Suspended, Terminated};
    let legal = [
        (Draft, PendingActivation),
        (PendingActivation, Active),
        (PendingActivation, Cancelled),
        (Active, Suspended),
        (Suspended, Active),
        (Active, Cancelled),
        (Suspended, Cancelled),
        (Suspended, Terminated),
        (Cancelled, Terminated),
    ];
    for from in Status::ALL {
        for to in Status::ALL {
            assert_eq!(from.may_become(to), legal.contains(&(from, to)), "{from:?} -> {to:?}");
        }
    }
}

#[test]
fn every_step_from_every_status_is_legal_or_refused() {
    type Step = fn(&Subscription, Timestamp) -> Result<Subscription, StartRefused>;
    let steps: [(&str, Status, Step); 3] = [
        ("suspended", Status::Suspended, |s, now| s.suspended(now).map(|(s, _)| s)),
        ("terminated", Status::Terminated, |s, _| s.terminated().map(|(s, _)| s)),
        ("lapsed", Status::Cancelled, |s, now| s.lapsed(now).map(|(s, _)| s)),
    ];
    let now = birth() + days(3);
    for status in Status::ALL {
        let before = in_status(status);
        for (name, to, step) in &steps {
            let got = step(&before, now).map(|after| after.status);
            let expected = if status.may_become(*to) { Ok(*to) } else { Err(StartRefused::Illegal) };
            assert_eq!(got, expected, "{name} from {status:?}");
        }
        assert_eq!(before.approved(now).status, status, "approval moves no status");
        let carded = before.with_method(method(7), GatewayName::Stripe, now).unwrap();
        assert_eq!((carded.status, carded.method_id), (status, method(7)), "nor does a card");
        if let Ok(started) = before.start(claim(Trigger::Manual, now + days(40))) {
            assert_eq!(started.status, status, "nor does a start");
            assert!(matches!(status, Status::PendingActivation | Status::Active | Status::Suspended), "{status:?}");
        }
    }
}

#[test]
fn settling_anything_in_any_status_is_legal() {
    for status in Status::ALL {
        for trigger in [Trigger::First, Trigger::Renewal, Trigger::Dunning, Trigger::Manual] {
            let mut books = Books::active(GatewayName::Toss);
            let due = books.subscription.due_at.unwrap();
            let live = books.start(Trigger::Renewal, due);
            let live = domain::charge::LiveAttempt { trigger, ..live };
            let stopped_at = Some(due);
            books.subscription = Subscription {
                status,
                stopped_at,
                live: Some(live.clone()),
                approved_at: Some(due),
                ..books.subscription
            };
            for answer in [captured(&books.subscription, &live), soft(&live), hard(&live), refused()] {
                let mut books = books.clone();
                books.settle(&by_call(&live, answer), due + hours(1));
                assert_eq!(books.subscription.live, None, "{status:?}");
                let may_move = status == books.subscription.status || status.may_become(books.subscription.status);
                assert!(may_move, "{status:?} -> {:?}", books.subscription.status);
            }
        }
    }
}

#[test]
fn money_for_what_nobody_approved_activates_nothing() {
    let fresh = unapproved(GatewayName::Toss);
    let live = Books::approved(GatewayName::Toss).start(Trigger::First, birth());
    let mut books = Books { subscription: fresh.clone(), cycles: std::collections::BTreeMap::new() };
    let answer = captured(&fresh, &live);
    let facts = books.settle(&crate::fixtures::by_event(&live, answer), birth());
    assert!(facts.iter().any(|f| f.kind == "payment.quarantined"));
    assert_eq!(books.subscription, fresh);
}

#[test]
fn charging_is_refused_where_product_md_says_so() {
    let now = birth() + days(40);
    let refused = |s: &Subscription, trigger| s.start(claim(trigger, now)).err();
    assert_eq!(refused(&unapproved(GatewayName::Toss), Trigger::Manual), Some(StartRefused::NotApproved));
    assert_eq!(refused(&in_status(Status::Draft), Trigger::Manual), Some(StartRefused::NotApproved));
    assert_eq!(refused(&in_status(Status::Cancelled), Trigger::Manual), Some(StartRefused::Ended));
    assert_eq!(refused(&in_status(Status::Terminated), Trigger::Manual), Some(StartRefused::Ended));
    let active = in_status(Status::Active);
    let in_flight = active.start(claim(Trigger::Renewal, now)).unwrap();
    for trigger in [Trigger::Renewal, Trigger::Manual] {
        assert_eq!(refused(&in_flight, trigger), Some(StartRefused::LiveAttempt));
    }
    let paid_up = active.start(claim(Trigger::Manual, birth() + days(2))).err();
    assert_eq!(paid_up, Some(StartRefused::NothingOwed), "a period that has not begun is not owed");
    let early = Subscription { due_at: Some(now + hours(1)), ..active };
    assert_eq!(refused(&early, Trigger::Renewal), Some(StartRefused::NothingOwed), "a schedule is never early");
    assert_eq!(refused(&early, Trigger::Manual), None, "a person may be");
}

#[test]
fn nothing_but_a_cancellation_overtakes_an_attempt_in_flight() {
    let now = birth() + days(40);
    let active = in_status(Status::Active).start(claim(Trigger::Renewal, now)).unwrap();
    assert_eq!(active.suspended(now), Err(StartRefused::LiveAttempt));
    assert_eq!(active.with_method(method(7), GatewayName::Toss, now), Err(StartRefused::LiveAttempt));
    let (cancelled, _) = active.lapsed(now).unwrap();
    assert_eq!(cancelled.due_at, active.due_at, "the attempt is still looked up at once");
    assert_eq!(cancelled.terminated(), Err(StartRefused::LiveAttempt));
    assert_eq!(cancelled.due(now + days(60)).unwrap(), Due::Resolve, "even when its time is over");
}

#[test]
fn the_first_payment_waits_for_a_card_and_lapses_after_30_days() {
    let mut books = Books::approved(GatewayName::Toss);
    assert_eq!(books.due(birth()), Due::Charge(Trigger::First));
    books.hear(Trigger::First, birth(), soft);
    let s = &books.subscription;
    assert_eq!((s.status, &s.dunning, s.first_decline.is_some()), (Status::PendingActivation, &None, true));
    assert_eq!(s.due_at, Some(birth() + days(30)), "no steps: nothing happens before it lapses");
    assert_eq!(books.due(birth() + days(29)), Due::Nothing);
    books.new_card(method(2), birth() + days(5));
    assert_eq!(books.due(birth() + days(5)), Due::Charge(Trigger::First), "a card makes it due at once");
    books.hear(Trigger::First, birth() + days(5), hard);
    assert_eq!(books.due(birth() + days(30)), Due::Lapse, "30 days after approval, not after the last card");
    books.retire(Due::Lapse, birth() + days(30));
    assert_eq!((books.subscription.status, books.due(birth() + days(59))), (Status::Cancelled, Due::Nothing));
    books.retire(books.due(birth() + days(60)), birth() + days(60));
    assert_eq!((books.subscription.status, books.subscription.due_at), (Status::Terminated, None));
    assert_eq!(books.cycle(0).state, State::Void, "nobody owes what lapsed");
}

#[test]
fn the_anchor_is_the_seoul_date_on_which_the_successful_attempt_started() {
    let mut books = Books::approved(GatewayName::Toss);
    books.hear(Trigger::First, birth(), soft);
    let start = at("2027-02-03T14:59:59Z");
    let live = books.start(Trigger::Manual, start);
    let answer = captured(&books.subscription, &live);
    books.settle(&by_call(&live, answer), start + days(2));
    assert_eq!(books.subscription.anchor.unwrap().to_string(), "2027-02-03", "still the 3rd in Seoul");
    assert_eq!(books.cycle(0).period.start, books.subscription.anchor.unwrap(), "and its first period starts there");
    assert_eq!(books.subscription.due_at, Some(at("2027-03-02T15:00:00Z")));
}

#[test]
fn approval_happens_once() {
    let once = unapproved(GatewayName::Toss).approved(birth());
    assert_eq!((once.approved_at, once.due_at), (Some(birth()), Some(birth())));
    let mut declined = Books::approved(GatewayName::Toss);
    declined.hear(Trigger::First, birth(), soft);
    for s in [once, declined.subscription, in_status(Status::Active), in_status(Status::Terminated)] {
        assert_eq!(s.approved(birth() + days(9)), s, "a second approval changes nothing");
    }
}

#[test]
fn decisions_are_exactly_as_product_md_says() {
    use ApplicationStatus::{InReview, OnHold, Submitted};
    for status in ApplicationStatus::ALL {
        for verdict in [Verdict::InReview, Verdict::Approved, Verdict::Rejected, Verdict::OnHold] {
            for note in [None, Some(" \n"), Some("papers missing")] {
                for carded in [false, true] {
                    let before = application(status, carded);
                    let got = before.decide(verdict, note.map(str::to_owned), "operator", birth());
                    let noted = note.is_some_and(|n| !n.trim().is_empty());
                    let expected = if !matches!(status, Submitted | InReview | OnHold) {
                        Err(DecideError::AlreadyDecided)
                    } else if matches!(verdict, Verdict::Rejected | Verdict::OnHold) && !noted {
                        Err(DecideError::NoteRequired)
                    } else if verdict == Verdict::Approved && !carded {
                        Err(DecideError::PaymentMethodMissing)
                    } else {
                        Ok(())
                    };
                    let context = format!("{status:?} {verdict:?} {note:?} card {carded}");
                    assert_eq!(got.as_ref().map(|_| ()).map_err(|e| *e), expected, "{context}");
                    if let Ok((after, _)) = got {
                        let decision = after.decision.clone().unwrap();
                        assert_eq!((decision.status, decision.note.is_some()), (after.status, noted), "{context}");
                        let again = after.decide(Verdict::Approved, None, "another", birth());
                        let over = !after.status.undecided();
                        assert_eq!(
                            over,
                            again.as_ref().is_err_and(|e| *e == DecideError::AlreadyDecided) && over,
                            "{context}"
                        );
                        assert_eq!(
                            Application { status, decision: None, ..after },
                            before,
                            "nothing else changes: {context}"
                        );
                    }
                }
            }
        }
    }
}
