//! Laws of documents and of the ledger: what is paid is invoiced once and adds up, what is given back telescopes, books
//! always balance, and every amount can be recomputed.

use domain::calendar::Period;
use domain::charge::GatewayName;
use domain::cycle::{Attempt, Cycle, Outcome, Payment, State};
use domain::document::{Document, File};
use domain::ids::{RequestId, ulid};
use domain::invoice::*;
use domain::ledger::{self, Account, Entry, Fee, Month, Payout};
use domain::method::MaskedCard;
use domain::money::{Currency, Money};
use domain::plan::{Addon, Line, Plan};
use domain::tax::{self, Rail, TaxDocument, TaxKind, TaxStatus};
use jiff::Timestamp;
use jiff::civil::{Date, date};
use proptest::prelude::*;

use super::fixtures::{at, birth, days, method};

pub fn cycle(amounts: &[i64], index: u32, paid_at: Timestamp) -> Cycle {
    let code = |n: usize| if n == 0 { "CORE".to_owned() } else { format!("ADDON{n}") };
    let lines: Vec<Line> =
        amounts.iter().enumerate().map(|(n, amount)| Line { code: code(n), amount: *amount }).collect();
    let payment = Payment { payment_id: "pay_1".into(), charge_id: None, at: paid_at };
    let attempt = Attempt {
        n: 1,
        gateway: GatewayName::Toss,
        method_id: method(1),
        outcome: Outcome::Succeeded,
        class: None,
        code: None,
        charge_id: None,
        at: paid_at,
    };
    Cycle {
        subscription_id: RequestId::new(ulid(birth(), 1)).subscription(),
        index,
        seq: 0,
        period: Period { start: date(2027, 1, 31), end: date(2027, 2, 28) },
        lines,
        amount: Money::krw(amounts.iter().sum()),
        state: State::Paid(payment),
        attempts: vec![attempt],
        intent: None,
        refunded: 0,
        refunds: Vec::new(),
        dispute: None,
        version: 3,
    }
}

pub fn plan(amounts: &[i64]) -> Plan {
    let addon = |(n, amount): (usize, &i64)| Addon {
        code: format!("ADDON{}", n + 1),
        name: format!("addon {n}"),
        price: Money::krw(*amount),
    };
    Plan {
        code: "CORE".into(),
        version: 4,
        name: "Core".into(),
        description: String::new(),
        price: Money::krw(amounts[0]),
        interval: domain::calendar::Interval::Month,
        addons: amounts[1..].iter().enumerate().map(addon).collect(),
        on_sale: false,
        retry_days: vec![1],
    }
}

fn supplier() -> Supplier {
    let text = |text: &str| text.to_owned();
    Supplier {
        name: text("MindGarden"),
        registration_number: text("0000000000"),
        representative: text("G"),
        address: text("Seoul"),
    }
}

pub fn invoiced(cycle: &Cycle, plan: Option<&Plan>, counter: &Counter) -> Result<(Invoice, Counter), InvoiceError> {
    let (supplier, tenant) = (supplier(), cycle.subscription_id.request().tenant());
    let with = Particulars {
        tenant_id: &tenant,
        supplier: &supplier,
        buyer: Buyer { name: "buyer".into(), registration_number: None },
        plan,
        card: MaskedCard::default(),
        issued_at: birth(),
    };
    invoice(cycle, with, counter)
}

fn refunded(invoice: &Invoice, n: usize, amount: i64, before: i64) -> Refunded {
    let amount = Money::new(amount, invoice.currency);
    Refunded {
        refund_id: format!("rfd_{n}"),
        amount,
        vat: amount.refund_vat(Money::new(before, invoice.currency)).unwrap().amount,
        refunded: before + amount.amount,
        gateway: invoice.payment.gateway,
        payment_id: invoice.payment.payment_id.clone(),
        origin: "operator".into(),
        at: birth() + days(i64::try_from(n).unwrap()),
    }
}

/// An invoice of these lines, refunded in parts that add up to at most its total.
pub fn file(amounts: &[i64], parts: &[i64]) -> File {
    let (invoice, _) =
        invoiced(&cycle(amounts, 0, birth()), Some(&plan(amounts)), &Counter::new("MG-2027".into())).unwrap();
    let (mut counter, mut before, mut notes) = (Counter::new("MGC-2027".into()), 0, Vec::new());
    for (n, part) in parts.iter().enumerate() {
        let amount = (*part).min(invoice.total - before);
        if amount > 0 {
            let (note, next) =
                credit_note(&invoice, &refunded(&invoice, n, amount, before), &counter, birth()).unwrap();
            (counter, before) = (next, before + amount);
            notes.push(note);
        }
    }
    File { invoice, notes, returns: Vec::new(), tax: None }
}

fn entries(file: &File) -> Vec<(Entry, Document)> {
    let invoice = Document::Invoice(file.invoice.clone());
    let both = [ledger::invoiced(&file.invoice).unwrap(), ledger::captured(&file.invoice).unwrap()];
    let notes = file.notes.iter().map(|n| (ledger::refunded(n).unwrap(), Document::CreditNote(n.clone())));
    both.into_iter().map(|entry| (entry, invoice.clone())).chain(notes).collect()
}

fn sum(entry: &Entry) -> i64 {
    entry.postings.iter().map(|p| p.amount).sum()
}

#[test]
fn an_id_names_its_cycle_and_nothing_else_parses() {
    let cycle = cycle(&[1_000], 7, birth());
    let (invoice, _) = invoiced(&cycle, None, &Counter::new("MG-2027".into())).unwrap();
    let billable = invoice.id.billable().unwrap();
    assert_eq!((&billable.subscription, billable.index, billable.seq), (&cycle.subscription_id, 7, 0));
    assert_eq!(InvoiceId::parse(invoice.id.as_str()), Ok(invoice.id.clone()));
    let ulid = cycle.subscription_id.ulid();
    for bad in
        ["", "inv_", "inv_x-0-0", &format!("inv_{ulid}-0"), &format!("inv_{ulid}-0-0-1"), &format!("inv_{ulid}-00-0")]
    {
        assert!(InvoiceId::parse(bad).is_err(), "{bad}");
    }
    for bad in ["", "a b", "x#y", &"x".repeat(101), "환불"] {
        assert!(CreditNoteId::of(bad).is_err(), "{bad}");
    }
    assert_eq!(CreditNoteId::parse("crn_re_3Qab:1").unwrap().as_str(), "crn_re_3Qab:1");
}

#[test]
fn what_is_not_paid_or_does_not_add_up_is_not_invoiced() {
    let counter = Counter::new("MG-2027".into());
    for state in [State::Open, State::Void, State::Uncollectible] {
        let open = Cycle { state, ..cycle(&[1_000], 0, birth()) };
        assert_eq!(invoiced(&open, None, &counter), Err(InvoiceError::NotPaid));
    }
    let odd = Cycle { amount: Money::krw(999), ..cycle(&[1_000], 0, birth()) };
    assert_eq!(invoiced(&odd, None, &counter), Err(InvoiceError::LinesDiffer));
    let nobody = Cycle { attempts: Vec::new(), ..cycle(&[1_000], 0, birth()) };
    assert_eq!(invoiced(&nobody, None, &counter), Err(InvoiceError::NoAttempt));
}

#[test]
fn an_invoice_is_booked_and_numbered_under_the_seoul_day_of_its_payment() {
    let newyear = cycle(&[33_000], 0, at("2026-12-31T15:00:00Z"));
    assert_eq!(invoice_series(paid_on(&newyear).unwrap()), "MG-2027");
    let (first, counter) = invoiced(&newyear, Some(&plan(&[33_000])), &Counter::new("MG-2027".into())).unwrap();
    let (second, _) = invoiced(&newyear, None, &counter).unwrap();
    assert_eq!((first.number.as_str(), second.number.as_str()), ("MG-2027-000001", "MG-2027-000002"));
    assert_eq!((first.payment.on, ledger::invoiced(&first).unwrap().month.as_str()), (date(2027, 1, 1), "2027-01"));
    assert_eq!((first.lines[0].name.as_str(), second.lines[0].name.as_str()), ("Core", "CORE"), "named by its plan");
    let late = Counter { last: 999_999, ..counter };
    assert_eq!(late.next().1, "MG-2027-1000000", "a busy year goes on counting");
}

#[test]
fn a_refund_that_does_not_fit_is_refused() {
    let File { invoice, .. } = file(&[33_000], &[]);
    let good = refunded(&invoice, 1, 5_000, 0);
    let counter = Counter::new("MGC-2027".into());
    assert!(credit_note(&invoice, &good, &counter, birth()).is_ok());
    for bad in [
        Refunded { vat: good.vat + 1, ..good.clone() },
        Refunded { payment_id: "pay_2".into(), ..good.clone() },
        Refunded { amount: Money::new(5_000, Currency::USD), ..good.clone() },
        Refunded { refunded: 4_999, ..good.clone() },
        Refunded { refunded: 33_001, ..good.clone() },
        Refunded { amount: Money::krw(0), vat: 0, refunded: 0, ..good.clone() },
        Refunded { amount: Money::krw(i64::MIN), refunded: i64::MAX, ..good.clone() },
        Refunded { refund_id: "a b".into(), ..good.clone() },
    ] {
        assert!(credit_note(&invoice, &bad, &counter, birth()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_card_gets_its_slip_and_a_transfer_a_document_in_time() {
    let decided = |rail, business, on: Date| {
        let decision = tax::decide(rail, business, on).unwrap();
        (decision.rule.kind, decision.due)
    };
    for business in [true, false] {
        assert_eq!(decided(Rail::Card, business, date(2027, 1, 31)), (TaxKind::CardSlip, None));
    }
    for (paid, due) in [
        (date(2027, 1, 1), date(2027, 2, 10)),
        (date(2027, 1, 31), date(2027, 2, 10)),
        (date(2027, 12, 31), date(2028, 1, 10)),
    ] {
        assert_eq!(decided(Rail::Transfer, true, paid), (TaxKind::TaxInvoice, Some(due)));
    }
    assert_eq!(decided(Rail::Transfer, false, date(2028, 2, 27)), (TaxKind::CashReceipt, Some(date(2028, 3, 3))));
    assert!(tax::RULES_OF_TAX.iter().all(|rule| rule.law.contains("법 제") && !rule.says.is_empty()));
}

#[test]
fn a_tax_document_is_issued_once_and_a_slip_never() {
    let File { mut invoice, .. } = file(&[33_000], &[]);
    let slip = TaxDocument::of(&invoice, birth()).unwrap();
    assert_eq!((slip.status, slip.issued("a".into(), birth())), (TaxStatus::NotRequired, None));
    invoice.payment.rail = Rail::Transfer;
    let due = TaxDocument::of(&invoice, birth()).unwrap();
    assert_eq!((due.kind, due.status), (TaxKind::CashReceipt, TaxStatus::Pending));
    assert!(due.own_number.len() <= 24, "what issuing services take");
    let issued = due.issued("a".into(), birth()).unwrap();
    assert_eq!((issued.status, issued.issued("b".into(), birth())), (TaxStatus::Issued, None));
}

#[test]
fn what_was_changed_by_hand_does_not_explain_itself() {
    let good = file(&[33_000, 11_000], &[5_000, 7_001]);
    let plan = plan(&[33_000, 11_000]);
    let explained = |file: &File| explain(&file.invoice, &file.notes, Some(&plan));
    assert!(explained(&good).matches);
    let changes: [fn(&mut File); 9] = [
        |f| f.invoice.total += 1,
        |f| f.invoice.vat += 1,
        |f| f.invoice.supply -= 1,
        |f| f.invoice.lines[1].amount += 1,
        |f| f.invoice.rules += 1,
        |f| f.notes[0].vat += 1,
        |f| f.notes[1].supply += 1,
        |f| f.notes[1].refunded += 1,
        |f| f.notes[0].total += 1,
    ];
    for (n, change) in changes.iter().enumerate() {
        let mut bad = good.clone();
        change(&mut bad);
        assert!(!explained(&bad).matches, "change {n}");
    }
    // Lines and total moved together still contradict the price of the plan version.
    let mut dearer = file(&[33_000], &[]);
    dearer.invoice.lines[0].amount = 44_000;
    (dearer.invoice.total, dearer.invoice.supply, dearer.invoice.vat) = (44_000, 40_000, 4_000);
    assert!(explain(&dearer.invoice, &[], None).matches);
    assert!(!explain(&dearer.invoice, &[], Some(&plan)).matches);
}

#[test]
fn months_are_read_strictly() {
    assert_eq!(ledger::parse_month("2027-01").as_deref(), Some("2027-01"));
    for bad in ["", "2027", "2027-13", "2027-1", "27-01", "2027-01-01", "2027-00"] {
        assert_eq!(ledger::parse_month(bad), None, "{bad}");
    }
}

fn amounts() -> impl Strategy<Value = Vec<i64>> {
    prop::collection::vec(1i64..10_000_000, 1..5)
}

proptest! {
    #[test]
    fn an_invoice_adds_up_and_explains_itself(amounts in amounts(), parts in prop::collection::vec(1i64..3_000_000, 0..8)) {
        let file = file(&amounts, &parts);
        let invoice = &file.invoice;
        prop_assert_eq!(invoice.supply + invoice.vat, invoice.total);
        prop_assert_eq!(invoice.lines.iter().map(|l| l.amount).sum::<i64>(), invoice.total);
        let explained = explain(invoice, &file.notes, Some(&plan(&amounts)));
        prop_assert!(explained.matches, "{:?}", explained);
        if file.refunded() == invoice.total {
            prop_assert_eq!(file.notes.iter().map(|n| n.vat).sum::<i64>(), invoice.vat, "all VAT is given back");
        }
    }

    #[test]
    fn every_entry_balances_and_the_month_ties_in_any_order(
        books in prop::collection::vec((amounts(), prop::collection::vec(1i64..3_000_000, 0..5)), 1..5),
        fees in prop::collection::vec((-100_000i64..1_000_000, -10_000i64..100_000), 0..4), seed in any::<usize>(),
    ) {
        let mut all: Vec<(Entry, Option<Document>)> = books
            .iter()
            .flat_map(|(amounts, parts)| entries(&file(amounts, parts)))
            .map(|(entry, document)| (entry, Some(document)))
            .collect();
        for (n, (fee, vat)) in fees.iter().enumerate() {
            let (row, gateway, on) = (n.to_string(), GatewayName::Stripe, date(2027, 1, 31));
            let kept = Fee { row: row.clone(), gateway, fee: Money::krw(*fee), vat: *vat, on };
            let paid = Payout { id: row, gateway, amount: Money::krw(fee.saturating_mul(7)), on };
            all.push((ledger::fee(&kept).unwrap(), None));
            all.push((ledger::paid_out(&paid).unwrap(), None));
        }
        prop_assert!(all.iter().all(|(entry, _)| sum(entry) == 0 && entry.postings.iter().all(|p| p.amount != 0)));
        let summed = |entries: &[(Entry, Option<Document>)]| {
            let mut month = Month::default();
            entries.iter().for_each(|(entry, document)| month.add(entry, document.as_ref()));
            month
        };
        let month = summed(&all);
        prop_assert!(month.balanced() && month.ties(), "{:?}", month);
        let total: i64 = books.iter().map(|(amounts, _)| amounts.iter().sum::<i64>()).sum();
        prop_assert_eq!(month.invoices[&Currency::KRW].total, i128::from(total));
        prop_assert_eq!(month.accounts[&(Currency::KRW, Account::Receivable)].net(), 0, "all of it is paid");
        let by = seed % all.len();
        all.rotate_left(by);
        prop_assert_eq!(summed(&all), month);
    }

    #[test]
    fn a_missing_or_different_document_does_not_tie(amounts in amounts(), by in 1i64..1_000) {
        let file = file(&amounts, &[500]);
        for at in 0..3 {
            let (mut lost, mut other) = (Month::default(), Month::default());
            for (n, (entry, document)) in entries(&file).into_iter().enumerate() {
                let mut changed = document.clone();
                match &mut changed {
                    Document::Invoice(d) => d.total += by,
                    Document::CreditNote(d) => d.total += by,
                    Document::DebitNote(_) | Document::Tax(_) | Document::Counter(_) => {}
                }
                lost.add(&entry, (n != at).then_some(&document));
                other.add(&entry, Some(if n == at { &changed } else { &document }));
            }
            prop_assert!(!lost.ties() && !other.ties() && lost.balanced());
            prop_assert_eq!((lost.untied.len(), other.untied.len()), (1, 1));
        }
    }

    #[test]
    fn documents_and_entries_round_trip(amounts in amounts(), parts in prop::collection::vec(1i64..3_000_000, 0..3)) {
        for (entry, document) in entries(&file(&amounts, &parts)) {
            let stored = serde_json::to_value(&document).unwrap();
            prop_assert_eq!(serde_json::from_value::<Document>(stored).unwrap(), document);
            let stored = serde_json::to_value(&entry).unwrap();
            prop_assert_eq!(serde_json::from_value::<Entry>(stored).unwrap(), entry);
        }
    }
}
