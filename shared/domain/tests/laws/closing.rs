//! Laws of the books: every rule's entry balances, what leaves quarantine never exceeds what came, an entry moved past a
//! closed month is the same entry, and a month that does not tie is not closed.

use domain::charge::GatewayName;
use domain::ledger::*;
use domain::money::{Currency, Money};
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::fixtures::{at, birth};

fn held(amount: i64) -> Suspense {
    Suspense::new("pay_1".into(), GatewayName::Stripe, Money::krw(amount), date(2027, 1, 31))
}

fn sum(entry: &Entry) -> i128 {
    entry.postings.iter().map(|p| i128::from(p.amount)).sum()
}

fn on(entry: &Entry, account: Account) -> i64 {
    entry.postings.iter().filter(|p| p.account == account).map(|p| p.amount).sum()
}

fn any_day() -> impl Strategy<Value = Date> {
    (2020_i16..2100, 1_i8..=12, 1_i8..=28).prop_map(|(y, m, d)| date(y, m, d))
}

proptest! {
    #[test]
    fn what_leaves_quarantine_never_exceeds_what_came(amount in -1_000_000_i64..1_000_000,
        ways in prop::collection::vec((0..4_u8, prop::option::of(-1_000_000_i64..1_000_000)), 0..12)) {
        let mut row = held(amount);
        let first = quarantined(&row).unwrap();
        let (mut clearing, mut suspense) = (on(&first, Account::GatewayClearing), on(&first, Account::Suspense));
        prop_assert_eq!((sum(&first), clearing, suspense), (0, amount, -amount));
        for (by, part) in ways {
            let left = row.left();
            let Some((after, release)) = row.release(&by.to_string(), part, date(2027, 2, 1)) else { continue };
            prop_assert!(row.released.iter().all(|r| r.by != release.by), "each way once");
            let entry = released(&row, &release).unwrap();
            prop_assert_eq!(sum(&entry), 0);
            clearing += on(&entry, Account::GatewayClearing);
            suspense += on(&entry, Account::Suspense);
            prop_assert!(after.left().abs() < left.abs() && after.left().signum() * left.signum() >= 0);
            prop_assert_eq!((clearing, suspense), (after.left(), -after.left()));
            row = after;
        }
        let stored = serde_json::to_value(Book::Suspense(row.clone())).unwrap();
        prop_assert_eq!(serde_json::from_value::<Book>(stored).unwrap(), Book::Suspense(row));
    }

    #[test]
    fn a_moved_entry_is_the_same_entry_under_another_day(own in any_day(), to in any_day(), further in any_day()) {
        let payout = Payout { id: "po#1".into(), gateway: GatewayName::Toss, amount: Money::krw(500), on: own };
        let entry = paid_out(&payout).unwrap();
        let moved = entry.clone().moved_to(to);
        prop_assert_eq!((moved.on, moved.dated, moved.date()), (to, Some(own), own));
        prop_assert_eq!(&moved.month, &month_of(to));
        prop_assert_eq!(&moved.id, &format!("{to}#paid_out#toss:po#1"));
        prop_assert_eq!(&moved.postings, &entry.postings);
        prop_assert_eq!(entry.moved_to(further), moved.moved_to(further), "by whatever way");
    }
}

#[test]
fn a_month_is_over_when_seoul_says_so() {
    assert!(!is_over("2027-02", at("2027-02-28T14:59:59.999Z")) && is_over("2027-02", at("2027-02-28T15:00:00Z")));
    assert_eq!(after_month("2027-12"), Some(date(2028, 1, 1)));
    assert!(!is_over("2027-13", at("2030-01-01T00:00:00Z")) && after_month("nothing").is_none());
}

#[test]
fn a_close_is_what_was_summed_or_says_why_not() {
    let mut sums = Month::default();
    let payout = |id: &str, amount| {
        let amount = Money::krw(amount);
        paid_out(&Payout { id: id.into(), gateway: GatewayName::Toss, amount, on: date(2027, 1, 5) }).unwrap()
    };
    sums.add(&payout("a", 700), None);
    sums.add(&payout("b", -200), None);
    let gate = Gate::new("2027-01".into()).passed(2);
    let of = |gate: &Gate, sums: &Month, complete, open_questions| {
        Close::of(gate, Summed { sums, complete, open_questions }, "kim", birth())
    };
    let close = of(&gate, &sums, true, 0).unwrap();
    let bank = close.accounts.iter().find(|sum| sum.account == Account::Bank).unwrap();
    assert_eq!((bank.debit, bank.credit, close.entries, close.month.as_str()), (700, 200, 2, "2027-01"));
    assert_eq!(of(&gate, &sums, false, 0), Err(vec![Reason::Incomplete]));
    assert_eq!(of(&gate, &sums, true, 9), Err(vec![Reason::OpenQuestions(9)]));
    let more = gate.clone().passed(1);
    assert_eq!(of(&more, &sums, true, 0), Err(vec![Reason::Miscounted { booked: 3, found: 2 }]));
    let mut crooked = sums.clone();
    crooked.accounts.entry((Currency::KRW, Account::Bank)).or_default().debit += 1;
    assert_eq!(of(&gate, &crooked, true, 0), Err(vec![Reason::Unbalanced]));
    let mut huge = sums.clone();
    for account in [Account::Bank, Account::GatewayClearing] {
        let balance = huge.accounts.entry((Currency::KRW, account)).or_default();
        (balance.debit, balance.credit) = (balance.debit + i128::from(u64::MAX), balance.credit + i128::from(u64::MAX));
    }
    assert_eq!(of(&gate, &huge, true, 0), Err(vec![Reason::TooLarge]));
    let codes = [Reason::Incomplete, Reason::Unbalanced, Reason::Untied(1), Reason::TooLarge].map(Reason::code);
    assert_eq!(codes, ["incomplete", "unbalanced", "untied", "too_large"]);
    assert!(gate.clone().shut().closed && Book::Close(close).is_final() && !Book::Gate(gate).is_final());
}
