//! A letter as a mail: text, and HTML with the same words.
//!
//! Invariants: both forms say the same; HTML has no script, no picture and no style sheet, because mail programs take
//! them out; a subject is one line.

use domain::notice::letter::Letter;

use super::letters::{Page, Said, page};
use super::{Links, Mail};
use crate::text::escaped;

const TEXT: &str = "margin:0 0 12px;font-size:15px;line-height:1.65;color:#222222";
const ENGLISH: &str = "color:#777777;font-size:13px";
const CELL: &str = "padding:8px 12px;border-bottom:1px solid #e6e6e6;font-size:14px;line-height:1.5;vertical-align:top";

/// The mail of a letter to a business. `signed` is what was signed for it: a payment guide's link, or an application's
/// token.
#[must_use]
pub fn render(letter: &Letter, business: &str, links: &Links, signed: Option<&str>) -> Mail {
    let page = page(letter, links, signed);
    Mail {
        subject: format!("[MindGarden] {} ({})", page.subject_ko, page.subject_en),
        text: text(&page, business),
        html: html(&page, business),
        tag: letter.name(),
    }
}

const FOOTER: [&str; 2] = [
    "이 메일은 계약과 결제에 관한 안내이며 광고가 아닙니다. 문의는 이 메일에 회신해 주세요.",
    "This mail is about your contract and payments; it is not advertising. Reply to it if you have a question.",
];

fn text(page: &Page, business: &str) -> String {
    let paragraph = |said: &Said| format!("{}\n{}\n\n", said.ko, said.en);
    let lead: String = page.lead.iter().map(paragraph).collect();
    let tail: String = page.tail.iter().map(paragraph).collect();
    let facts: String = page.facts.iter().map(|(name, value)| format!("- {name}: {}\n", one_line(value))).collect();
    let facts = if facts.is_empty() { facts } else { format!("{facts}\n") };
    let link = page.link.as_ref().map_or_else(String::new, |(name, url)| format!("{name}\n{url}\n\n"));
    let [ko, en] = FOOTER;
    format!("{} 담당자님께\n\n{lead}{facts}{link}{tail}MindGarden 드림\n\n--\n{ko}\n{en}\n", one_line(business))
}

/// Values come from people: a line break in one must not look like the next fact.
fn one_line(value: &str) -> String {
    value.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn html(page: &Page, business: &str) -> String {
    let lead: String = page.lead.iter().map(paragraph).collect();
    let tail: String = page.tail.iter().map(paragraph).collect();
    let [ko, en] = FOOTER;
    format!(
        "<!doctype html><html lang=\"ko\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title></head>\
         <body style=\"margin:0;padding:0;background:#f4f5f3\">\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"background:#f4f5f3\"><tr>\
         <td align=\"center\" style=\"padding:24px 12px\">\
         <table role=\"presentation\" width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"max-width:560px;\
         background:#ffffff;border-radius:8px;font-family:'Apple SD Gothic Neo','Noto Sans KR','Malgun Gothic',sans-serif;\
         word-break:keep-all;overflow-wrap:anywhere\"><tr><td style=\"padding:28px 28px 8px\">\
         <p style=\"margin:0 0 16px;font-size:14px;font-weight:bold;color:#2f6b4f\">MindGarden</p>\
         <h1 style=\"margin:0 0 20px;font-size:21px;line-height:1.4;color:#1a1a1a\">{title}<br>\
         <span lang=\"en\" style=\"{ENGLISH};font-weight:normal\">{title_en}</span></h1>\
         <p style=\"{TEXT}\">{business} 담당자님께</p>{lead}{facts}{link}{tail}\
         <p style=\"{TEXT}\">MindGarden 드림</p></td></tr>\
         <tr><td style=\"padding:12px 28px 24px;border-top:1px solid #e6e6e6;font-size:12px;line-height:1.6;color:#777777\">\
         {ko}<br><span lang=\"en\">{en}</span></td></tr></table></td></tr></table></body></html>",
        title = escaped(page.subject_ko),
        title_en = escaped(page.subject_en),
        business = escaped(business),
        facts = facts(page),
        link = page.link.as_ref().map_or_else(String::new, button),
    )
}

fn paragraph(said: &Said) -> String {
    let Said { ko, en } = said;
    format!("<p style=\"{TEXT}\">{}<br><span lang=\"en\" style=\"{ENGLISH}\">{}</span></p>", escaped(ko), escaped(en))
}

fn facts(page: &Page) -> String {
    if page.facts.is_empty() {
        return String::new();
    }
    let row = |(name, value): &(&str, String)| {
        let (name, value) = (escaped(name), escaped(value));
        format!(
            "<tr><th scope=\"row\" align=\"left\" style=\"{CELL};color:#666666;font-weight:normal;width:42%\">{name}</th>\
             <td style=\"{CELL};font-weight:bold;color:#1a1a1a\">{value}</td></tr>"
        )
    };
    let rows: String = page.facts.iter().map(row).collect();
    format!(
        "<table width=\"100%\" cellpadding=\"0\" cellspacing=\"0\" style=\"border-top:2px solid #2f6b4f;\
         border-collapse:collapse;margin:0 0 20px\">{rows}</table>"
    )
}

fn button((name, url): &(&'static str, String)) -> String {
    let (name, url) = (escaped(name), escaped(url));
    format!(
        "<p style=\"margin:0 0 20px\"><a href=\"{url}\" style=\"display:inline-block;padding:12px 20px;background:#2f6b4f;\
         color:#ffffff;text-decoration:none;border-radius:6px;font-size:15px\">{name}</a></p>"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::calendar::Period;
    use domain::ids::RequestId;
    use domain::money::Money;
    use domain::notice::letter::{CardNeeded, Paid};

    fn links() -> Links {
        Links { api: "https://api.example.kr".into(), portal: Some("https://my.example.kr/?a=1&b=2".into()) }
    }

    fn application() -> RequestId {
        RequestId::parse("req_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
    }

    fn all() -> Vec<Letter> {
        let period = Period { start: "2027-01-31".parse().unwrap(), end: "2027-02-28".parse().unwrap() };
        let day = |text: &str| text.parse().unwrap();
        let amount = Money::krw(1_044_000);
        let paid = Paid { amount, period, on: day("2027-01-31"), next_on: Some(day("2027-02-28")) };
        let note = Some("서류 <확인>".to_owned());
        vec![
            Letter::ApplicationReceived { card_registered: true },
            Letter::ApplicationReceived { card_registered: false },
            Letter::Approved,
            Letter::Rejected { note: note.clone() },
            Letter::OnHold { note },
            Letter::FirstPayment(paid.clone()),
            Letter::Receipt(paid.clone()),
            Letter::Recovered(paid),
            Letter::Upcoming { amount, period, card_usable: true },
            Letter::Upcoming { amount, period, card_usable: false },
            Letter::PaymentFailed { amount, period, step: 0, retry_on: day("2027-02-01"), deadline: day("2027-02-07") },
            Letter::PaymentFailed { amount, period, step: 1, retry_on: day("2027-02-03"), deadline: day("2027-02-07") },
            Letter::CardNeeded { amount, why: CardNeeded::FirstPayment, by: day("2027-02-28") },
            Letter::CardNeeded { amount, why: CardNeeded::Renewal, by: day("2027-02-07") },
            Letter::CardNeeded { amount, why: CardNeeded::Suspended, by: day("2027-03-07") },
            Letter::Suspended { amount, ends_on: day("2027-03-09") },
            Letter::CancelScheduled { last_day: day("2027-02-27") },
            Letter::Cancelled { access_until: Some(day("2027-03-30")) },
            Letter::Cancelled { access_until: None },
            Letter::Lapsed,
            Letter::Refunded { amount, paid: amount, left: Money::krw(0), on: day("2027-02-03") },
            Letter::CardExpiring { brand: Some("삼성".into()), last_day: day("2027-02-28") },
            Letter::CardSuspect,
            Letter::Guide { amount },
            Letter::Link { application: application() },
        ]
    }

    #[test]
    fn every_letter_says_the_same_in_both_forms_and_both_languages() {
        for letter in all() {
            let mail = render(&letter, "봄날 심리상담센터", &links(), Some("https://api.example.kr/g"));
            assert!(mail.subject.starts_with("[MindGarden] ") && !mail.subject.contains('\n'), "{}", mail.subject);
            let page = page(&letter, &links(), Some("https://api.example.kr/g"));
            for said in page.lead.iter().chain(&page.tail) {
                assert!(mail.text.contains(&said.ko) && mail.text.contains(&said.en), "{}", letter.name());
                assert!(mail.html.contains(&escaped(&said.ko)) && mail.html.contains(&escaped(&said.en)));
                assert!(said.en.is_ascii() && !said.ko.is_ascii(), "{}: languages in their place", letter.name());
            }
            for (name, value) in &page.facts {
                assert!(mail.text.contains(&format!("- {name}: {value}\n")), "{name} in {}", mail.text);
                assert!(mail.html.contains(&escaped(value)), "{name}");
            }
            for part in ["봄날 심리상담센터 담당자님께", "광고가 아닙니다"] {
                assert!(mail.text.contains(part) && mail.html.contains(part), "{part}");
            }
            assert!(!mail.html.contains("<script") && !mail.html.contains("<img") && !mail.html.contains("<style"));
        }
    }

    #[test]
    fn what_people_wrote_is_never_markup_and_never_another_line() {
        let note = Some("<b onclick=\"x\">확인</b>\n- 금액: 1원".to_owned());
        let mail = render(&Letter::OnHold { note }, "<script>alert(1)</script>\r\nBcc: a@b.kr", &links(), None);
        assert!(!mail.html.contains("<script") && !mail.html.contains("<b ") && mail.html.contains("&lt;b onclick="));
        assert!(mail.text.contains("- 사유 / Note: <b onclick=\"x\">확인</b> - 금액: 1원\n"), "{}", mail.text);
        assert!(mail.text.starts_with("<script>alert(1)</script> Bcc: a@b.kr 담당자님께\n"));
        assert!(!mail.subject.contains("Bcc"));
        assert!(mail.html.contains("href=\"https://my.example.kr/?a=1&amp;b=2\"") || !mail.html.contains("href"));
    }

    #[test]
    fn a_link_leads_where_it_should_and_is_left_out_where_there_is_none() {
        let guide =
            render(&Letter::Guide { amount: Money::krw(1) }, "b", &links(), Some("https://api.example.kr/g?x=1&y"));
        assert!(guide.html.contains("href=\"https://api.example.kr/g?x=1&amp;y\""), "{}", guide.html);
        assert!(guide.text.contains("\nhttps://api.example.kr/g?x=1&y\n"));
        let no_portal = Links { portal: None, ..links() };
        let suspect = render(&Letter::CardSuspect, "b", &no_portal, None);
        assert!(!suspect.html.contains("href") && suspect.text.contains("회신해 주시면"));
    }

    #[test]
    fn an_applicants_token_is_behind_the_hash_of_the_portals_address_or_shown() {
        let letter = Letter::Link { application: application() };
        let portal = Links { portal: Some("https://my.example.kr".into()), ..links() };
        let mail = render(&letter, "b", &portal, Some("e30.e30.sig"));
        let link = "https://my.example.kr/applications/req_01ARZ3NDEKTSV4RRFFQ69G5FAV#token=e30.e30.sig";
        assert!(mail.text.contains(&format!("\n{link}\n")) && mail.html.contains(&format!("href=\"{link}\"")));
        assert!(mail.subject.contains("(Your link to the application)"), "{}", mail.subject);
        let mail = render(&letter, "b", &Links { portal: None, ..portal }, Some("e30.e30.sig"));
        assert!(mail.text.contains("Token: e30.e30.sig\n") && mail.html.contains("e30.e30.sig"), "{}", mail.text);
        assert!(!mail.html.contains("href"));
    }

    #[test]
    fn a_failed_payment_reads_like_this() {
        let letter = &all()[10];
        let mail = render(letter, "봄날", &Links { portal: None, ..links() }, None);
        assert_eq!(mail.subject, "[MindGarden] 정기 결제가 실패했습니다 (Your payment failed)");
        let expected = "봄날 담당자님께\n\n\
            정기 결제가 완료되지 않았습니다. 한도나 잔액을 확인해 주세요. 아래 날짜에 같은 카드로 다시 결제됩니다.\n\
            Your recurring payment did not go through. Please check your limit or balance. We charge the same card again \
            on the day below.\n\n\
            - 금액 / Amount: 1,044,000원 (1,044,000 KRW)\n\
            - 이용 기간 / Period: 2027-01-31 ~ 2027-02-27\n\
            - 다시 결제하는 날 / Next try: 2027-02-01\n\
            - 서비스 정지 예정일 / Suspended on: 2027-02-07\n\n\
            다른 카드를 등록하시면 바로 결제되며, 그 전까지는 서비스를 그대로 이용하실 수 있습니다.\n\
            Another card is charged as soon as you register it. Until then your service goes on.\n\n\
            이 메일에 회신해 주시면 카드 등록을 도와드리겠습니다.\n\
            Reply to this mail and we will help you register a card.\n\n\
            MindGarden 드림\n\n--\n";
        assert!(mail.text.starts_with(expected), "{}", mail.text);
    }
}
