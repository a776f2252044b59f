//! Applications and what they choose: what an applicant is asked to do next, what a new card changes, what becomes of it as a
//! tenant, and what a chosen plan costs.

use domain::business_number;
use domain::calendar::Interval;
use domain::contact::{Contact, is_email, is_phone};
use domain::ids::{RequestId, ulid};
use domain::money::{Currency, Money};
use domain::onboarding::{Application, Consents, NextAction, Status, Tenant};
use domain::plan::{Addon, Line, Plan, PlanError, RETRY_DAYS};
use domain::subscription::Status as SubscriptionStatus;
use proptest::prelude::*;

use crate::fixtures::{birth, hours, method};

pub fn application(status: Status, carded: bool) -> Application {
    Application {
        id: RequestId::new(ulid(birth(), 1)),
        status,
        business_name: "Hanbit".into(),
        business_number: None,
        category: None,
        region: None,
        contact: Contact { name: "Kim".into(), email: "kim@example.kr".into(), phone: "010-1234-5678".into() },
        plan_code: "CORE".into(),
        addon_codes: Vec::new(),
        note: None,
        checklist: Vec::new(),
        consents: Consents { version: "2026-11".into(), at: birth() },
        customer_key: "key".into(),
        stripe_customer: Some("cus_1".into()),
        method_id: carded.then(|| method(1)),
        subscription_id: None,
        decision: None,
        submitted_at: birth(),
        version: 3,
    }
}

#[test]
fn a_new_card_replaces_the_card_and_nothing_else() {
    for status in Status::ALL {
        for carded in [false, true] {
            let before = application(status, carded);
            let after = before.with_method(method(9));
            assert_eq!(after.method_id, Some(method(9)));
            assert_eq!(Application { method_id: before.method_id.clone(), ..after }, before);
        }
    }
}

#[test]
fn an_applicant_is_told_what_to_do_next() {
    use NextAction::{FirstPaymentPending, None as Nothing, RegisterCard, SupplyCard, WaitForReview};
    use SubscriptionStatus::{Active, Cancelled, PendingActivation, Suspended, Terminated};
    for status in [Status::Submitted, Status::InReview, Status::OnHold] {
        for subscription in [None, Some((PendingActivation, false, false)), Some((PendingActivation, true, true))] {
            assert_eq!(application(status, false).next_action(subscription), RegisterCard, "{status:?}");
            assert_eq!(application(status, true).next_action(subscription), WaitForReview, "{status:?}");
        }
    }
    let approved = application(Status::Approved, true);
    assert_eq!(approved.next_action(None), FirstPaymentPending);
    let waiting = |live, declined| approved.next_action(Some((PendingActivation, live, declined)));
    assert_eq!((waiting(false, false), waiting(true, false)), (FirstPaymentPending, FirstPaymentPending));
    assert_eq!((waiting(false, true), waiting(true, true)), (SupplyCard, FirstPaymentPending));
    for over in [Active, Suspended, Cancelled, Terminated] {
        assert_eq!(approved.next_action(Some((over, false, true))), Nothing, "{over:?}");
    }
    for ended in [Status::Rejected, Status::Expired, Status::Withdrawn] {
        for carded in [false, true] {
            assert_eq!(application(ended, carded).next_action(Some((PendingActivation, true, true))), Nothing);
        }
    }
}

#[test]
fn an_applicants_token_lives_until_the_first_payment_or_the_end() {
    use SubscriptionStatus::{Active, Cancelled, PendingActivation, Suspended, Terminated};
    for status in Status::ALL {
        for subscription in
            [None, Some(PendingActivation), Some(Active), Some(Suspended), Some(Cancelled), Some(Terminated)]
        {
            let expected = match status {
                Status::Submitted | Status::InReview | Status::OnHold => true,
                Status::Approved => matches!(subscription, None | Some(PendingActivation)),
                Status::Rejected | Status::Expired | Status::Withdrawn => false,
            };
            let lives = application(status, true).token_lives(subscription);
            assert_eq!(lives, expected, "{status:?} {subscription:?}");
        }
    }
}

#[test]
fn a_tenant_is_its_application_from_approval_on() {
    let before = application(Status::Approved, true);
    let tenant = Tenant::of(&before, birth().saturating_add(hours(5)).unwrap());
    assert_eq!((&tenant.id, &tenant.contact), (&before.tenant_id(), &before.contact));
    assert_eq!((tenant.business_name.as_str(), tenant.customer_key.as_str()), ("Hanbit", "key"));
    assert_eq!((tenant.stripe_customer.as_deref(), tenant.version), (Some("cus_1"), 0));
    assert_eq!(tenant.created_at, birth().saturating_add(hours(5)).unwrap());
    assert_eq!(tenant.id.request(), before.id);
    assert_eq!(before.id.subscription().request(), before.id);
}

fn plan(addons: &[(&str, Money)]) -> Plan {
    let addon = |(code, price): &(&str, Money)| Addon { code: (*code).into(), name: "Name".into(), price: *price };
    Plan {
        code: "CORE".into(),
        version: 4,
        name: "Core".into(),
        description: String::new(),
        price: Money::krw(33_000),
        interval: Interval::Month,
        addons: addons.iter().map(addon).collect(),
        on_sale: true,
        retry_days: vec![2, 5],
    }
}

fn codes(codes: &[&str]) -> Vec<String> {
    codes.iter().map(|code| (*code).to_owned()).collect()
}

#[test]
fn a_chosen_plan_is_frozen_with_each_add_on_once() {
    let plan = plan(&[("SMS", Money::krw(5_500)), ("KIOSK", Money::krw(11_000)), ("CORE", Money::krw(1_100))]);
    let (frozen, total) = plan.snapshot(&codes(&["KIOSK", "SMS", "CORE"])).unwrap();
    let lines: Vec<(&str, i64)> = frozen.lines.iter().map(|line| (line.code.as_str(), line.amount)).collect();
    assert_eq!(lines, [("CORE", 33_000), ("KIOSK", 11_000), ("SMS", 5_500), ("CORE", 1_100)]);
    assert_eq!(total, Money::krw(50_600));
    assert_eq!((frozen.code.as_str(), frozen.version, frozen.interval), ("CORE", 4, Interval::Month));
    assert_eq!(frozen.retry_days, [2, 5]);
    assert_eq!(plan.snapshot(&[]).unwrap().0.lines, [Line { code: "CORE".into(), amount: 33_000 }]);
    let twice = plan.snapshot(&codes(&["SMS", "KIOSK", "SMS"]));
    assert_eq!(twice, Err(PlanError::DuplicateAddon("SMS".into())));
    assert_eq!(plan.snapshot(&codes(&["FAX"])), Err(PlanError::UnknownAddon("FAX".into())));
}

#[test]
fn prices_of_two_currencies_or_beyond_counting_make_no_plan() {
    let dollars = Money { amount: 100, currency: Currency::USD };
    for odd in [dollars, Money::krw(i64::MAX)] {
        assert!(matches!(plan(&[("ODD", odd)]).snapshot(&codes(&["ODD"])), Err(PlanError::Money(_))), "{odd:?}");
    }
}

#[test]
fn a_stored_plan_without_retry_days_has_the_usual_ones() {
    let mut stored = serde_json::to_value(plan(&[])).unwrap();
    stored.as_object_mut().unwrap().remove("retryDays");
    assert_eq!(serde_json::from_value::<Plan>(stored).unwrap().retry_days, RETRY_DAYS);
}

/// Numbers whose check digit is right.
const REGISTERED: [&str; 3] = ["120-81-47521", "220-81-62517", "124-81-00998"];

#[test]
fn no_other_check_digit_and_no_swapped_neighbours_pass() {
    for number in REGISTERED {
        let digits: String = number.chars().filter(char::is_ascii_digit).collect();
        assert_eq!(business_number::parse(number).as_deref(), Some(digits.as_str()), "{number}");
        for check in '0'..='9' {
            let other = format!("{}{check}", &digits[..9]);
            assert_eq!(business_number::parse(&other).is_some(), other == digits, "{other}");
        }
        for long in [format!("{digits}0"), format!("0{digits}"), format!("{number}-"), format!("-{number}")] {
            let read = business_number::parse(&long);
            assert!(read.is_none(), "{long}");
        }
    }
}

proptest! {
    #[test]
    // The ninth digit also counts through its carry, which can hide a change; no other place can.
    fn a_wrong_digit_in_a_business_number_is_noticed(which in 0usize..3, place in 0usize..8, by in 1u32..10) {
        let mut digits: Vec<u32> = REGISTERED[which].chars().filter_map(|c| c.to_digit(10)).collect();
        digits[place] = (digits[place] + by) % 10;
        let text: String = digits.iter().map(|d| char::from_digit(*d, 10).unwrap()).collect();
        prop_assert_eq!(business_number::parse(&text), None);
    }

    #[test]
    fn addresses_and_telephone_numbers_have_lengths(local in 1usize..80, labels in 1usize..60, digits in 1usize..20) {
        let address = format!("{}@{}kr", "a".repeat(local), "abc.".repeat(labels));
        prop_assert_eq!(is_email(&address), local <= 64 && address.len() <= 254);
        let number = "7".repeat(digits);
        prop_assert_eq!(is_phone(&number), (8..=15).contains(&digits));
        prop_assert_eq!(is_phone(&format!("+{number}")), (8..=15).contains(&digits));
    }
}
