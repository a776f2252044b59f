//! The page behind a payment guide's link: Korean, with a line of English for each thing that matters. Rendered whole on
//! the server; nothing on it runs.
//!
//! Invariants: no name, address or card of the payer is on it; every value is escaped; whoever may have paid already is
//! told not to.

use super::Reply;
use crate::config::TransferAccount;
pub(super) use crate::text::{escaped, money};
use crate::usecase::payment_guide::Guide;

const CSS: &str = "body{font:16px/1.6 sans-serif;margin:2rem auto;max-width:34rem;padding:0 1rem;color:#222}\
    dl{display:grid;grid-template-columns:auto 1fr;gap:.3rem 1rem}dt{color:#666}dd{margin:0;font-weight:bold}\
    .en{color:#666;font-size:.9em}";

/// What the page says.
#[must_use]
pub fn guide_page(guide: &Guide, account: Option<&TransferAccount>) -> Reply {
    let body = match guide {
        Guide::Pay { amount, period, reference } => {
            let facts = [
                ("결제 금액 / Amount", money(*amount)),
                // Shown as people read periods: both days included.
                ("이용 기간 / Period", format!("{} ~ {}", period.start, period.end.yesterday().unwrap_or(period.end))),
                ("입금자명 / Reference", reference.clone()),
            ];
            let how = match account {
                Some(account) => transfer(account),
                None => paragraph(
                    "계좌 이체를 원하시면 안내 메일에 회신해 주세요. 계좌를 알려 드립니다.",
                    "To pay by transfer, reply to the mail that brought you here.",
                ),
            };
            let why = paragraph(
                "카드 결제가 잠시 중단되어 자동 결제를 하지 못했습니다. 서비스는 계속 이용하실 수 있으며, 결제가 재개되면 등록하신 카드로 자동 결제됩니다.",
                "Card payments are paused. Your service goes on; your card is charged by itself when they resume.",
            );
            let twice = paragraph(
                "이체하신 경우 안내 메일에 회신해 알려 주세요. 카드 결제가 재개되기 전에 확인되어야 두 번 결제되지 않습니다.",
                "If you transfer, reply to the mail and tell us, so that your card is not charged as well.",
            );
            format!("{why}{}{how}{twice}", list(&facts))
        }
        Guide::Wait => paragraph(
            "결제 결과를 확인하고 있습니다. 이미 결제되었을 수 있으니 이체하지 마세요.",
            "We are finding out whether your payment went through. Please do not transfer anything.",
        ),
        Guide::Nothing => paragraph(
            "지금 이체하실 금액이 없습니다. 카드 결제는 자동으로 진행됩니다.",
            "There is nothing to transfer. Card payments work by themselves.",
        ),
    };
    page(200, "결제 안내", &body)
}

/// For a link that does not open, or does not open any more.
#[must_use]
pub fn no_guide_page() -> Reply {
    let body = paragraph(
        "링크가 올바르지 않거나 기간이 지났습니다. 안내 메일의 링크를 다시 확인해 주세요.",
        "This link is not valid or has expired.",
    );
    page(404, "결제 안내", &body)
}

fn transfer(account: &TransferAccount) -> String {
    let intro = paragraph("지금 결제하시려면 아래 계좌로 이체해 주세요.", "To pay now, transfer to this account.");
    let rows = [
        ("은행 / Bank", account.bank.clone()),
        ("계좌 / Account", account.number.clone()),
        ("예금주 / Holder", account.holder.clone()),
    ];
    format!("{intro}{}", list(&rows))
}

fn page(status: u16, title: &str, body: &str) -> Reply {
    let html = format!(
        "<!doctype html><html lang=\"ko\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title><style>{CSS}</style></head>\
         <body><main><h1>{title}</h1>{body}</main></body></html>"
    );
    Reply::page(status, html, CSS)
}

fn paragraph(korean: &str, english: &str) -> String {
    format!("<p>{}<br><span class=\"en\" lang=\"en\">{}</span></p>", escaped(korean), escaped(english))
}

fn list(rows: &[(&str, String)]) -> String {
    let rows: String =
        rows.iter().map(|(name, value)| format!("<dt>{}</dt><dd>{}</dd>", escaped(name), escaped(value))).collect();
    format!("<dl>{rows}</dl>")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::calendar::Period;
    use domain::money::Money;

    fn text(reply: &Reply) -> String {
        String::from_utf8(reply.body.clone()).unwrap()
    }

    fn pay() -> Guide {
        let period = Period { start: "2027-01-31".parse().unwrap(), end: "2027-02-28".parse().unwrap() };
        Guide::Pay { amount: Money::krw(1_044_000), period, reference: "MGQ69G5FAV-3".to_owned() }
    }

    #[test]
    fn it_says_what_to_pay_where_and_for_what() {
        let account =
            TransferAccount {
                bank: "하나 <은행>".into(), number: "000-00".into(), holder: "마음 & 정원".into()
            };
        let page = guide_page(&pay(), Some(&account));
        let html = text(&page);
        for part in ["1,044,000 KRW", "2027-01-31 ~ 2027-02-27", "MGQ69G5FAV-3", "하나 &lt;은행&gt;", "마음 &amp; 정원"]
        {
            assert!(html.contains(part), "{part} in {html}");
        }
        assert!(!text(&guide_page(&pay(), None)).contains("000-00"));
    }

    #[test]
    fn whoever_may_have_paid_is_told_not_to() {
        let account = TransferAccount { bank: "b".into(), number: "000-00".into(), holder: "h".into() };
        for guide in [Guide::Wait, Guide::Nothing] {
            let html = text(&guide_page(&guide, Some(&account)));
            assert!(!html.contains("000-00") && !html.contains("KRW"), "{html}");
        }
        assert_eq!(no_guide_page().status.as_u16(), 404);
    }

    #[test]
    fn the_page_loads_and_tells_nothing() {
        let page = guide_page(&pay(), None);
        let header = |name: &str| page.headers[name].to_str().unwrap().to_owned();
        assert!(header("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!((header("referrer-policy"), header("cache-control")), ("no-referrer".into(), "no-store".into()));
        assert_eq!(header("content-type"), "text/html; charset=utf-8");
        let html = text(&page);
        assert!(html.contains(&format!("<style>{CSS}</style>")) && !html.contains("<script") && !html.contains("http"));
    }
}
