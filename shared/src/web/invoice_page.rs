//! An invoice as a Korean receipt to print: one A4 page, rendered whole on the server, nothing on it runs or loads.
//!
//! Invariants: it shows what the invoice froze and computes nothing; every value is escaped; a card payment's receipt
//! says that it is no tax invoice, and by which law.

use domain::Date;
use domain::document::File;
use domain::invoice::{CreditNote, DebitNote, Invoice};
use domain::money::{Currency, Money};
use domain::tax::Rail;

use super::guide_page::{escaped, money};
use super::{Reply, Request};

const CSS: &str = "@page{size:A4;margin:18mm 16mm}\
    *{box-sizing:border-box}\
    body{font:10.5pt/1.55 'Noto Sans KR','Noto Sans CJK KR','Apple SD Gothic Neo','Malgun Gothic','NanumGothic',sans-serif;\
    color:#111;background:#fff;margin:0 auto;max-width:178mm;padding:8mm 0;word-break:keep-all}\
    h1{font-size:20pt;letter-spacing:.3em;text-align:center;margin:0 0 2mm;padding-left:.3em}\
    .no{text-align:center;margin:0 0 7mm;color:#444}\
    .parties{display:grid;grid-template-columns:1fr 1fr;gap:6mm;align-items:start;margin-bottom:6mm}\
    .parties table{margin:0}.facts{table-layout:fixed}.facts th{width:31mm}\
    table{width:100%;border-collapse:collapse;margin-bottom:6mm}\
    caption{text-align:left;font-weight:bold;padding-bottom:1.5mm}\
    th,td{border:.3mm solid #999;padding:1.6mm 2.4mm;text-align:left;vertical-align:top}\
    th{background:#f2f2f2;font-weight:600;white-space:nowrap}\
    .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}\
    tfoot td,tfoot th{font-weight:bold}\
    td{overflow-wrap:anywhere}\
    .sum{font-size:12.5pt}\
    .note{color:#444;font-size:9pt;margin:0 0 1.5mm}\
    thead{display:table-header-group}tr{break-inside:avoid}\
    @media print{body{padding:0;max-width:none}}\
    @media screen{body{padding:8mm}}\
    @media screen and (max-width:640px){.parties{grid-template-columns:1fr}}";

/// Whether the caller would rather have a page than JSON.
#[must_use]
pub fn wants_page(request: &Request) -> bool {
    let kinds = request.header("accept").unwrap_or_default().split(',');
    let kinds = kinds.filter_map(|kind| kind.split(';').next()).map(str::trim);
    kinds.take_while(|kind| *kind != "application/json").any(|kind| kind.eq_ignore_ascii_case("text/html"))
}

/// The receipt.
#[must_use]
pub fn invoice_page(file: &File) -> Reply {
    let invoice = &file.invoice;
    let title = "이용 요금 영수증";
    let body = format!(
        "<h1>{title}</h1><p class=\"no\">{} · 발행일 {}</p>{}{}{}{}{}",
        escaped(&invoice.number),
        domain::calendar::seoul_date(invoice.issued_at),
        parties(invoice),
        lines(invoice),
        payment(invoice),
        refunds(file),
        notes(file),
    );
    let html = format!(
        "<!doctype html><html lang=\"ko\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title} {}</title><style>{CSS}</style></head>\
         <body><main>{body}</main></body></html>",
        escaped(&invoice.number)
    );
    Reply::page(200, html, CSS)
}

fn parties(invoice: &Invoice) -> String {
    let supplier = &invoice.supplier;
    let ours = [
        ("상호", supplier.name.clone()),
        ("사업자등록번호", registration(&supplier.registration_number)),
        ("대표자", supplier.representative.clone()),
        ("사업장", supplier.address.clone()),
    ];
    let number = invoice.buyer.registration_number.as_deref();
    let theirs =
        [("상호", invoice.buyer.name.clone()), ("사업자등록번호", number.map_or_else(|| "-".to_owned(), registration))];
    format!("<div class=\"parties\">{}{}</div>", facts("공급자", &ours), facts("공급받는 자", &theirs))
}

fn facts(caption: &str, rows: &[(&str, String)]) -> String {
    let rows: String = rows
        .iter()
        .map(|(name, value)| format!("<tr><th scope=\"row\">{}</th><td>{}</td></tr>", escaped(name), escaped(value)))
        .collect();
    format!("<table class=\"facts\"><caption>{}</caption><tbody>{rows}</tbody></table>", escaped(caption))
}

fn lines(invoice: &Invoice) -> String {
    let period = format!("{} ~ {}", invoice.period.start, invoice.period.end.yesterday().unwrap_or(invoice.period.end));
    let won = |amount| won(amount, invoice.currency);
    let row = |line: &domain::invoice::InvoiceLine| {
        format!(
            "<tr><td>{}</td><td>{period}</td><td class=\"n\">{}</td></tr>",
            escaped(&line.name),
            escaped(&won(line.amount))
        )
    };
    let rows: String = invoice.lines.iter().map(row).collect();
    let foot = |name: &str, class: &str, amount| {
        let amount = escaped(&won(amount));
        format!("<tr{class}><th scope=\"row\" colspan=\"2\">{name}</th><td class=\"n\">{amount}</td></tr>")
    };
    let feet = [
        foot("공급가액", "", invoice.supply),
        foot("부가가치세", "", invoice.vat),
        foot("합계 (부가가치세 포함)", " class=\"sum\"", invoice.total),
    ];
    format!(
        "<table><caption>공급 내역</caption><thead><tr><th scope=\"col\">품목</th><th scope=\"col\">이용 기간</th>\
         <th scope=\"col\" class=\"n\">금액</th></tr></thead><tbody>{rows}</tbody><tfoot>{}</tfoot></table>",
        feet.concat()
    )
}

fn payment(invoice: &Invoice) -> String {
    let paid = &invoice.payment;
    let rail = match paid.rail {
        Rail::Card => "신용카드 자동결제",
        Rail::Transfer => "계좌 이체",
    };
    let card = match (&paid.brand, &paid.last4) {
        (brand, Some(last4)) => format!(" ({} **** {last4})", brand.as_deref().unwrap_or("카드")),
        (Some(brand), None) => format!(" ({brand})"),
        (None, None) => String::new(),
    };
    let rows = [
        ("결제일", paid.on.to_string()),
        ("결제 수단", format!("{rail}{card}")),
        ("결제 번호", paid.payment_id.clone()),
    ];
    facts("결제", &rows)
}

fn refunds(file: &File) -> String {
    if file.notes.is_empty() {
        return String::new();
    }
    let row = |number: &str, on: Date, amounts: [i64; 3]| {
        let amounts = amounts.map(|amount| {
            let amount = won(amount, file.invoice.currency);
            format!("<td class=\"n\">{}</td>", escaped(&amount))
        });
        format!("<tr><td>{}</td><td>{on}</td>{}</tr>", escaped(number), amounts.concat())
    };
    let given =
        |note: &CreditNote| row(&note.number, note.on, [note.supply, note.vat, note.total].map(i64::saturating_neg));
    // A refund that came back is taken back line by line.
    let back =
        |note: &DebitNote| row(&format!("{} (환불 취소)", note.number), note.on, [note.supply, note.vat, note.total]);
    let rows: String = file.notes.iter().map(given).chain(file.returns.iter().map(back)).collect();
    let left = won(file.invoice.total.saturating_sub(file.refunded()), file.invoice.currency);
    format!(
        "<table><caption>환불 내역</caption><thead><tr><th scope=\"col\">번호</th><th scope=\"col\">환불일</th>\
         <th scope=\"col\" class=\"n\">공급가액</th><th scope=\"col\" class=\"n\">부가가치세</th>\
         <th scope=\"col\" class=\"n\">합계</th></tr></thead><tbody>{rows}</tbody><tfoot><tr class=\"sum\">\
         <th scope=\"row\" colspan=\"4\">환불 후 금액</th><td class=\"n\">{}</td></tr></tfoot></table>",
        escaped(&left)
    )
}

fn notes(file: &File) -> String {
    let tax = match file.invoice.payment.rail {
        Rail::Card => {
            "이 문서는 세금계산서가 아닙니다. 카드 결제에는 신용카드매출전표가 발급되며, 매출전표로 매입세액을 공제받으실 수 \
             있습니다 (부가가치세법 제33조 제2항, 제46조 제3항)."
        }
        Rail::Transfer => {
            "이 문서는 세금계산서가 아닙니다. 계좌 이체에는 세금계산서 또는 현금영수증을 따로 발급해 드립니다 (부가가치세법 \
             제32조, 제34조)."
        }
    };
    let approval = file.tax.as_ref().and_then(|tax| tax.approval.as_deref());
    let approval =
        approval.map_or_else(String::new, |number| format!("<p class=\"note\">승인번호 {}</p>", escaped(number)));
    format!("<p class=\"note\">{}</p>{approval}", escaped(tax))
}

/// Ten digits as they are written: `120-81-47521`.
fn registration(number: &str) -> String {
    match (number.get(..3), number.get(3..5), number.get(5..)) {
        (Some(a), Some(b), Some(c)) if number.len() == 10 => format!("{a}-{b}-{c}"),
        _ => number.to_owned(),
    }
}

/// `44,000원`; other currencies with their code.
fn won(amount: i64, currency: Currency) -> String {
    let text = money(Money::new(amount, currency));
    match text.strip_suffix(" KRW") {
        Some(won) => format!("{won}원"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::invoice::{Buyer, CreditNoteId, InvoiceId, InvoiceLine, PaidBy, RULES, Supplier};

    const ULID: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn file() -> File {
        let at = "2027-01-31T01:00:00Z".parse().unwrap();
        let line = |name: &str, amount| InvoiceLine { code: name.into(), name: name.into(), amount };
        let invoice = Invoice {
            id: InvoiceId::parse(&format!("inv_{ULID}-0-0")).unwrap(),
            number: "MG-2027-000042".into(),
            tenant_id: domain::ids::TenantId::parse(&format!("ten_{ULID}")).unwrap(),
            supplier: Supplier {
                name: "마음정원".into(),
                registration_number: "1208147521".into(),
                representative: "정원".into(),
                address: "서울".into(),
            },
            buyer: Buyer { name: "봄날 <상담> & \"센터\"".into(), registration_number: None },
            plan: None,
            period: domain::calendar::Period {
                start: "2027-01-31".parse().unwrap(),
                end: "2027-02-28".parse().unwrap(),
            },
            lines: vec![line("스탠다드", 33_000), line("문자", 11_000)],
            supply: 40_000,
            vat: 4_000,
            total: 44_000,
            currency: Currency::KRW,
            payment: PaidBy {
                rail: Rail::Card,
                gateway: domain::charge::GatewayName::Toss,
                payment_id: "pay_1".into(),
                brand: Some("신한".into()),
                last4: Some("1234".into()),
                on: "2027-01-31".parse().unwrap(),
            },
            rules: RULES,
            issued_at: at,
            version: 1,
        };
        File { invoice, notes: Vec::new(), returns: Vec::new(), tax: None }
    }

    fn text(file: &File) -> String {
        String::from_utf8(invoice_page(file).body).unwrap()
    }

    #[test]
    fn it_shows_everybody_and_everything_and_escapes_it() {
        let html = text(&file());
        for part in [
            "MG-2027-000042",
            "마음정원",
            "120-81-47521",
            "봄날 &lt;상담&gt; &amp; &quot;센터&quot;",
            "33,000원",
            "11,000원",
            "40,000원",
            "4,000원",
            "44,000원",
            "2027-01-31 ~ 2027-02-27",
            "신한 **** 1234",
            "세금계산서가 아닙니다",
            "제33조 제2항",
            "size:A4",
        ] {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!html.contains("환불") && !html.contains("<script") && !html.contains("http"));
    }

    #[test]
    fn refunds_are_shown_and_what_is_left() {
        let mut file = file();
        file.notes.push(CreditNote {
            id: CreditNoteId::of("ref_1").unwrap(),
            invoice_id: file.invoice.id.clone(),
            number: "MGC-2027-000001".into(),
            refund_id: "ref_1".into(),
            supply: 10_000,
            vat: 1_000,
            total: 11_000,
            refunded: 11_000,
            currency: Currency::KRW,
            gateway: domain::charge::GatewayName::Toss,
            payment_id: "pay_1".into(),
            origin: "operator".into(),
            on: "2027-02-01".parse().unwrap(),
            rules: RULES,
            issued_at: file.invoice.issued_at,
            version: 1,
        });
        let html = text(&file);
        for part in ["MGC-2027-000001", "-11,000원", "환불 후 금액", "33,000원"] {
            assert!(html.contains(part), "{part} in {html}");
        }
    }

    #[test]
    fn a_page_is_for_whoever_asks_for_one() {
        let asks = |accept: &str| {
            let mut request = Request::default();
            request.headers.insert("accept", accept.parse().unwrap());
            wants_page(&request)
        };
        assert!(
            asks("text/html") && asks("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8") && asks("*/*, TEXT/HTML;q=1")
        );
        assert!(!asks("application/json") && !asks("*/*") && !asks("application/json, text/html"));
        assert!(!wants_page(&Request::default()));
    }
}
