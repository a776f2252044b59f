//! Stripe's PaymentIntent: one serves every attempt of a cycle, for as long as it can be paid.

use domain::charge::{Answer, Decline, DeclineClass, GatewayName, Trigger};

use crate::books::Books;
use crate::fixtures::{by_call, hours, intent, soft};

#[test]
fn a_cycle_keeps_its_intent_until_the_gateway_says_it_is_over() {
    let mut books = Books::active(GatewayName::Stripe);
    let due = books.subscription.due_at.unwrap();
    let first = books.hear(Trigger::Renewal, due, soft);
    let second = books.start(Trigger::Manual, due + hours(1));
    assert_eq!(second.intent, intent(&first), "a later attempt confirms the cycle's intent");
    // Somebody cancelled it: no attempt on it can ever succeed, and the adapter names no intent any more.
    let gone = Decline { class: DeclineClass::Soft, code: "canceled".into(), intent: None, charge_id: None };
    books.settle(&by_call(&second, Answer::Declined(gone)), due + hours(1));
    assert_eq!(books.cycle(1).intent, None);
    assert_eq!(books.start(Trigger::Manual, due + hours(2)).intent, None, "the next attempt makes a new one");
}
