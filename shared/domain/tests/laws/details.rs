//! What the larger laws about refunds, disputes and documents do not look at closely: edges, names that are stored, and fields
//! that are only passed on.

use domain::charge::GatewayName;
use domain::cycle::Cycle;
use domain::dispute::Told;
use domain::document::{Document, File};
use domain::ids::{spread, ulid_of};
use domain::invoice::{Counter, credit_series, invoice_series};
use domain::ledger::{Fee, Payout, fee, paid_out, refunded};
use domain::money::Money;
use domain::movement::{self, Kind, Movement};
use domain::onboarding;
use domain::refund::{Origin, Refund, Refused, Seen, SeenState, Start, Status, Wish, due_partitions};
use domain::tax::{self, TaxDocument, TaxStatus};
use jiff::civil::date;

use crate::documents::{cycle, file, invoiced, plan};
use crate::fixtures::{PRICE, birth, hours, minutes};
use crate::refunds::{done, heard, id, paid, request, started, status, wish};

#[test]
fn the_smallest_refund_goes_through_and_says_why() {
    let one = request(&paid(GatewayName::Toss), 1, Some(1));
    let refund = one.refund(&id(1)).unwrap();
    assert_eq!((refund.amount, refund.reason.as_str(), refund.due_at), (1, "asked", Some(birth())));
    let sent = started(&one, 1, birth());
    let refund = sent.refund(&id(1)).unwrap();
    assert_eq!((refund.amount, refund.due_at), (1, Some(birth() + minutes(2))), "looked at when the lease ends");
    assert_eq!(heard(&sent, 1, &done(1)).refunded, 1);
    let all_but_one = heard(&started(&request(&paid(GatewayName::Toss), 1, Some(PRICE - 1)), 1, birth()), 1, &done(1));
    assert_eq!(request(&all_but_one, 2, None).refund(&id(2)).unwrap().amount, 1);
}

/// A refund of what is owed back, waiting to be sent.
fn owed(cycle: &Cycle, amount: i64) -> Cycle {
    let mut cycle = request(cycle, 7, Some(amount));
    for refund in &mut cycle.refunds {
        if refund.id == id(7) {
            *refund = Refund { origin: Origin::Owed, ..refund.clone() };
        }
    }
    cycle
}

#[test]
fn what_is_owed_back_is_whatever_is_left() {
    let start = |cycle: &Cycle| cycle.start_refund(&id(7), "token 7".into(), birth() + minutes(2), birth());
    let after_console = |given: i64| {
        let mut cycle = owed(&paid(GatewayName::Stripe), PRICE);
        cycle.refunded = given;
        cycle
    };
    let Start::Claimed(claimed) = start(&after_console(PRICE - 1)) else { panic!("one is left") };
    assert_eq!(claimed.refund(&id(7)).unwrap().amount, 1);
    let Start::Claimed(claimed) = start(&after_console(3_000)) else { panic!("most is left") };
    assert_eq!(claimed.refund(&id(7)).unwrap().amount, PRICE - 3_000);
    let Start::Ended(change) = start(&after_console(PRICE)) else { panic!("nothing is left") };
    assert_eq!(status(&change.cycle, 7), Status::Rejected, "it was given back in another way: nobody has to look");
}

#[test]
fn a_word_about_a_refund_is_said_once_and_by_one_person() {
    let large = {
        let wish = Wish { limit: Some(1), ..wish(1, Some(10)) };
        paid(GatewayName::Toss).request_refund(wish, birth()).unwrap().cycle
    };
    let approved = large.decide_refund(&id(1), true, "lee", birth()).unwrap().unwrap().cycle;
    assert_eq!(
        approved.decide_refund(&id(1), true, "park", birth()),
        Err(Refused::NotWaiting),
        "somebody else said it"
    );
    let rejected = large.decide_refund(&id(1), false, "lee", birth()).unwrap().unwrap().cycle;
    assert_eq!(rejected.decide_refund(&id(1), false, "park", birth()), Ok(None), "it is rejected already");
    assert_eq!(rejected.decide_refund(&id(1), true, "park", birth()), Err(Refused::NotWaiting));
}

#[test]
fn what_the_gateway_says_was_given_back_is_the_amount_that_counts() {
    let seen = |amount, refund_id: Option<String>| Seen {
        gateway_refund_id: "re_1".into(),
        refund_id,
        amount,
        currency: None,
        state: SeenState::Succeeded,
        code: None,
    };
    let cycle = paid(GatewayName::Stripe);
    for nothing in [0, -1, -500] {
        assert_eq!(cycle.observe_refunds(&[seen(nothing, None)], birth()), None, "{nothing} is no refund");
    }
    let found = cycle.observe_refunds(&[seen(1, None)], birth()).unwrap().cycle;
    assert_eq!((found.refunded, found.refunds[0].origin), (1, Origin::Console));
    let sent = started(&request(&cycle, 1, Some(10_000)), 1, birth());
    let less = sent.observe_refunds(&[seen(9_000, Some(id(1).to_string()))], birth()).unwrap().cycle;
    assert_eq!((less.refunded, less.refund(&id(1)).unwrap().amount), (9_000, 9_000));
}

#[test]
fn a_refund_waits_in_the_partition_its_sweep_looks_into() {
    let cycle = paid(GatewayName::Toss);
    let partitions = due_partitions();
    assert!(partitions.len() > 1 && partitions.iter().all(|partition| partition.starts_with("refund#")));
    let count = u32::try_from(partitions.len()).unwrap();
    let own = format!("refund#{}", spread(cycle.subscription_id.as_str()) % count);
    assert_eq!(cycle.refund_partition(), own);
    assert!(partitions.contains(&own));
}

#[test]
fn the_vat_of_a_refund_is_foretold_until_it_is_fixed() {
    let cycle = paid(GatewayName::Toss);
    let foretold = |cycle: &Cycle, n| cycle.vat_of_refund(cycle.refund(&id(n)).unwrap());
    let first = request(&cycle, 1, Some(10_000));
    assert_eq!(foretold(&first, 1), 909);
    let given = heard(&started(&first, 1, birth()), 1, &done(1));
    assert_eq!((foretold(&given, 1), given.refund(&id(1)).unwrap().vat), (909, Some(909)));
    let rest = request(&given, 2, None);
    assert_eq!(foretold(&rest, 2), PRICE / 11 - 909, "what is left of the VAT");
}

#[test]
fn a_dispute_is_news_when_its_sum_or_its_end_is() {
    let told =
        |amount, status: &str, closed| Told { id: "dp_1".into(), amount, status: status.into(), reason: None, closed };
    let open = paid(GatewayName::Stripe).disputed(&told(20_000, "needs_response", false), birth()).unwrap().cycle;
    let later = |told: &Told| open.disputed(told, birth() + hours(1)).map(|change| change.cycle.dispute.unwrap());
    assert_eq!(later(&told(20_000, "needs_response", false)), None);
    assert_eq!(later(&told(15_000, "needs_response", false)).unwrap().amount, 15_000);
    assert_eq!(later(&told(20_000, "under_review", false)).unwrap().status, "under_review");
    let closed = later(&told(20_000, "needs_response", true)).unwrap();
    assert_eq!((closed.opened_at, closed.closed_at), (birth(), Some(birth() + hours(1))));
}

#[test]
fn documents_know_their_version_and_which_of_them_are_final() {
    let File { invoice, notes, .. } = file(&[33_000], &[1_000, 2_000]);
    let versions = |n: u64| {
        let mut invoice = invoice.clone();
        let mut note = notes[0].clone();
        let mut counter = Counter::new("MG-2027".into());
        let mut tax = tax(&invoice);
        (invoice.version, note.version, counter.version, tax.version) = (n, n, n, n);
        [Document::Invoice(invoice), Document::CreditNote(note), Document::Tax(tax), Document::Counter(counter)]
    };
    for n in [0, 1, 7] {
        assert!(versions(n).iter().all(|document| document.version() == n));
    }
    assert_eq!(versions(0).map(|document| document.is_final()), [true, true, false, false]);
    let shuffled = [&notes[1], &notes[0]].map(|note| Document::CreditNote(note.clone()));
    let [paper, _, tax, counter] = versions(0);
    let all = shuffled.into_iter().chain([counter, tax, paper]).collect();
    let read = File::of(all).unwrap();
    assert_eq!((read.refunded(), read.notes == notes, read.tax.is_some()), (3_000, true, true));
    assert_eq!(File::of(vec![Document::CreditNote(notes[0].clone())]), None, "no invoice, no file");
}

fn tax(invoice: &domain::invoice::Invoice) -> TaxDocument {
    TaxDocument::of(invoice, birth()).unwrap()
}

#[test]
fn an_issued_tax_document_says_under_which_number_and_when() {
    let mut invoice = file(&[33_000], &[]).invoice;
    invoice.payment.rail = tax::Rail::Transfer;
    let issued = TaxDocument::of(&invoice, birth()).unwrap().issued("A-1".to_owned(), birth() + hours(2)).unwrap();
    assert_eq!((issued.approval.as_deref(), issued.issued_at), (Some("A-1"), Some(birth() + hours(2))));
    assert_eq!(issued.status, TaxStatus::Issued);
}

#[test]
fn lines_are_named_by_the_plan_they_were_sold_under() {
    let amounts = [33_000, 5_500, 1_100];
    let (invoice, _) =
        invoiced(&cycle(&amounts, 0, birth()), Some(&plan(&amounts)), &Counter::new("MG-2027".into())).unwrap();
    let names: Vec<&str> = invoice.lines.iter().map(|line| line.name.as_str()).collect();
    assert_eq!(names, ["Core", "addon 0", "addon 1"]);
    let bare = invoiced(&cycle(&amounts, 0, birth()), None, &Counter::new("MG-2027".into())).unwrap().0;
    assert_eq!(bare.lines.iter().map(|line| line.name.as_str()).collect::<Vec<_>>(), ["CORE", "ADDON1", "ADDON2"]);
}

#[test]
fn stored_names_are_pinned() {
    let on = date(2027, 1, 31);
    assert_eq!((invoice_series(on).as_str(), credit_series(on).as_str()), ("MG-2027", "MGC-2027"));
    assert_eq!(ulid_of(0), "00000000000000000000000000");
    assert_eq!(ulid_of(33), "00000000000000000000000011");
    assert_eq!([Origin::Ours, Origin::Console, Origin::Owed].map(Origin::as_str), ["OURS", "CONSOLE", "OWED"]);
    let statuses = ["SUBMITTED", "IN_REVIEW", "ON_HOLD", "APPROVED", "REJECTED", "EXPIRED", "WITHDRAWN"];
    assert_eq!(onboarding::Status::ALL.map(onboarding::Status::as_str), statuses);
    let kinds = [
        (Kind::Capture, "CAPTURE"),
        (Kind::Refund, "REFUND"),
        (Kind::RefundReturned, "REFUND_RETURNED"),
        (Kind::Dispute, "DISPUTE"),
        (Kind::DisputeReturned, "DISPUTE_RETURNED"),
        (Kind::Fee, "FEE"),
        (Kind::PayOut, "PAY_OUT"),
        (Kind::Other, "OTHER"),
    ];
    for (kind, name) in kinds {
        assert_eq!((kind.as_str(), serde_json::to_value(kind).unwrap()), (name, name.into()));
    }
    let kept = Fee { row: "tx1".into(), gateway: GatewayName::Toss, fee: Money::krw(330), vat: 30, on };
    let out = Payout { id: "po1".into(), gateway: GatewayName::Stripe, amount: Money::krw(9), on };
    let file = file(&[33_000], &[1_000]);
    let booked = [fee(&kept).unwrap(), paid_out(&out).unwrap(), refunded(&file.notes[0]).unwrap()];
    for (entry, rule) in booked.iter().zip(["fee", "paid_out", "refunded"]) {
        assert!(entry.id.contains(rule), "{}", entry.id);
    }
}

#[test]
fn a_row_adds_up_when_what_is_paid_out_is_the_amount_less_the_fee() {
    let row = |fee: Option<(i64, i64)>| Movement {
        id: "tx1".into(),
        kind: Kind::Capture,
        order_id: None,
        payment_id: None,
        charge_id: None,
        about: None,
        amount: Money::krw(33_000),
        at: birth(),
        fee: fee.map(|(amount, net)| movement::Fee { amount, vat: None, net, paid_out_on: None }),
    };
    assert_eq!(row(None).adds_up(), None);
    assert_eq!(row(Some((1_237, 31_763))).adds_up(), Some(true));
    assert_eq!(row(Some((1_237, 31_764))).adds_up(), Some(false));
    assert_eq!(row(Some((i64::MIN, 0))).adds_up(), Some(false), "beyond counting");
}
