//! When a month of the ledger ties: each of its conditions fails it alone.

use domain::document::Document;
use domain::ledger::{Account, Balance, Documented, Fee, Month, Sums, captured, fee, invoiced, refunded};
use domain::money::{Currency, Money};
use jiff::civil::date;

use crate::documents::file;
use domain::charge::GatewayName;

const KRW: Currency = Currency::KRW;

/// One invoice of 33,000 won that was paid, and 1,100 of it given back.
fn month() -> Month {
    let documented = |supply, vat| Sums { count: 1, supply, vat, total: supply + vat };
    let account = |account, debit, credit| ((KRW, account), Balance { debit, credit });
    Month {
        entries: 3,
        accounts: [
            account(Account::Receivable, 33_000, 33_000),
            account(Account::Revenue, 0, 30_000),
            account(Account::VatPayable, 100, 3_000),
            account(Account::GatewayClearing, 33_000, 1_100),
            account(Account::Refunds, 1_000, 0),
        ]
        .into(),
        invoices: [(KRW, documented(30_000, 3_000))].into(),
        credit_notes: [(KRW, documented(1_000, 100))].into(),
        ..Month::default()
    }
}

fn with(account: Account, debit: i128, credit: i128) -> Month {
    let mut month = month();
    month.accounts.insert((KRW, account), Balance { debit, credit });
    month
}

#[test]
fn a_month_ties_when_each_of_its_conditions_holds() {
    assert!(month().ties() && month().balanced());
    assert!(!with(Account::Revenue, 0, 30_001).ties(), "revenue is what was invoiced");
    assert!(!with(Account::Refunds, 1_001, 0).ties(), "refunds are what was credited");
    assert!(!with(Account::Receivable, 33_001, 33_000).ties(), "nothing is owed for what is paid");
    let untied = Month { untied: vec!["invoiced#inv".into()], ..month() };
    assert!(!untied.ties(), "an entry whose document is missing");
    let returned = Sums { count: 1, supply: 1_000, vat: 100, total: 1_100 };
    let back = Month { debit_notes: [(KRW, returned)].into(), ..with(Account::Refunds, 1_000, 1_000) };
    assert!(back.ties(), "what came back is not refunded");
    assert!(Month::default().ties() && Month::default().balanced(), "nothing happened");
}

#[test]
fn a_month_balances_in_each_currency_alone() {
    assert!(!with(Account::Revenue, 0, 30_001).balanced());
    let mut other = month();
    other.accounts.insert((Currency::USD, Account::Revenue), Balance { debit: 0, credit: 5 });
    assert!(!other.balanced());
    other.accounts.insert((Currency::USD, Account::Fees), Balance { debit: 5, credit: 0 });
    assert!(other.balanced());
}

#[test]
fn an_entry_knows_its_document_and_its_debits() {
    let file = file(&[33_000], &[1_100]);
    let (invoice, note) = (&file.invoice, &file.notes[0]);
    let entries = [invoiced(invoice).unwrap(), captured(invoice).unwrap(), refunded(note).unwrap()];
    assert_eq!(entries[0].about(), Some(Documented::Invoice(invoice.id.clone())));
    assert_eq!(entries[1].about(), Some(Documented::Invoice(invoice.id.clone())));
    let credited = Documented::CreditNote { invoice: invoice.id.clone(), id: note.id.clone() };
    assert_eq!(entries[2].about(), Some(credited));
    assert_eq!(entries.map(|entry| entry.debits()), [33_000, 33_000, 1_100]);
    let row =
        Fee { row: "tx1".into(), gateway: GatewayName::Toss, fee: Money::krw(330), vat: 30, on: date(2026, 12, 1) };
    assert_eq!(fee(&row).unwrap().about(), None);
}

#[test]
fn a_posting_of_nothing_is_no_credit() {
    let file = file(&[33_000], &[]);
    let document = Document::Invoice(file.invoice.clone());
    let mut sums = Month::default();
    sums.add(&invoiced(&file.invoice).unwrap(), Some(&document));
    let revenue = sums.accounts[&(KRW, Account::Revenue)];
    let receivable = sums.accounts[&(KRW, Account::Receivable)];
    assert_eq!((revenue.debit, receivable.credit), (0, 0));
    assert_eq!((revenue.credit, receivable.debit), (30_000, 33_000));
}
