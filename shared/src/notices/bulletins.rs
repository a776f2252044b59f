//! A bulletin as a chat message (Slack blocks): what happened, what to do next, and where to look.

use domain::calendar::zone;
use domain::notice::bulletin::{Bulletin, Detail, Topic};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Links;
use crate::text::money;

/// Fields Slack shows in one section.
const FIELDS_MAX: usize = 10;
/// Characters of one value; events are short, and Slack refuses long fields.
const VALUE_MAX: usize = 300;

/// What a topic is called and what to do about it.
struct Words {
    title: &'static str,
    next: &'static str,
}

fn words(topic: Topic) -> Words {
    let (title, next) = match topic {
        Topic::ApplicationSubmitted => {
            ("새 입점 신청 · New application", "신청 내용을 검토하고 승인·반려·보류를 결정하세요.")
        }
        Topic::AttemptStuck => (
            "결제 결과를 하루째 알 수 없음 · Attempt unknown for a day",
            "게이트웨이 콘솔에서 주문번호로 결제를 찾고 `POST /ops/attempts/{orderId}/resolve`로 다시 조회하세요. 결과가 확인될 때까지 다시 결제되지 않습니다.",
        ),
        Topic::DemoRequested => (
            "데모 요청 · Demo requested",
            "`GET /ops/demo-requests`에서 남긴 연락처와 내용을 확인하고 답하세요. 연락처는 1년 뒤 삭제됩니다.",
        ),
        Topic::DisputeOpened => (
            "결제 이의 제기 · Dispute opened",
            "기한 전에 게이트웨이 콘솔에서 증빙을 제출하세요. 그동안 이 결제는 환불할 수 없습니다.",
        ),
        Topic::GatewayClosed => (
            "게이트웨이 복구 · Gateway is back",
            "할 일은 없습니다. 밀린 결제는 다음 실행에서 오래된 순서로 진행됩니다.",
        ),
        Topic::GatewayOpened => (
            "게이트웨이 응답 없음 · Gateway does not answer",
            "게이트웨이 상태 페이지를 확인하세요. 응답이 돌아오면 자동으로 재개됩니다. 길어지면 일시 중지하고 결제 안내를 보내세요.",
        ),
        Topic::GatewayPaused => (
            "게이트웨이 일시 중지 · Gateway paused",
            "담당자를 정하고, 끝나면 `POST /ops/gateways/{gateway}/resume`으로 재개하세요. 그동안 `…/guides`로 결제 안내를 보낼 수 있습니다.",
        ),
        Topic::GatewayResumed => {
            ("게이트웨이 재개 · Gateway resumed", "할 일은 없습니다. 밀린 결제는 다음 실행에서 진행됩니다.")
        }
        Topic::PaymentQuarantined => (
            "청구와 맞지 않는 결제 · Payment quarantined",
            "게이트웨이에서 결제를 확인해 환불하거나 고객과 합의한 뒤, 보류된 구독은 `…/retry`로 되돌리세요.",
        ),
        Topic::RefundFailed => {
            ("환불 실패 · Refund failed", "고객이 아직 돈을 받지 못했습니다. 다시 환불하거나 다른 방법으로 지급하세요.")
        }
        Topic::RefundStuck => (
            "환불 결과를 하루째 알 수 없음 · Refund unknown for a day",
            "게이트웨이에서 환불 번호를 찾아보세요. 키가 거절되면 키를, 중지되어 있으면 게이트웨이를 되돌리세요.",
        ),
        Topic::RunHeld => (
            "정기 결제 실행 보류 · Billing run held",
            "평소보다 많은 금액이 예정되어 있습니다. 예정 내역을 확인하고 맞으면 `POST /ops/runs/{id}/approve`로 승인하세요.",
        ),
        Topic::SettlementUnexplained => {
            ("정산 차이 · Settlement difference", "정산 보고서에서 설명되지 않은 행을 게이트웨이 내역과 대조하세요.")
        }
        Topic::SubscriptionParked => (
            "결제할 수 없는 구독 · Subscription parked",
            "이유를 확인하고 바로잡은 뒤 `POST /billing/subscriptions/{id}/retry`로 되돌리거나 해지하세요.",
        ),
        Topic::SubscriptionStuck => (
            "결제 시도가 계속 무효 · Attempts come to nothing",
            "게이트웨이가 알 수 없는 이유로 거절하고 있습니다. 코드와 설정을 확인하세요. 계속 시도됩니다.",
        ),
        Topic::Alarm => ("경보 · Alarm", "`infra/runbook.md`에서 이 경보를 찾아 그대로 하세요."),
    };
    Words { title, next }
}

/// Where to look, below the API's base.
fn path(bulletin: &Bulletin) -> Option<String> {
    let subject = &bulletin.subject;
    let detail = |wanted: &str| {
        bulletin.details.iter().find_map(|(name, detail)| match detail {
            Detail::Text(text) if name == wanted => Some(text.as_str()),
            Detail::Text(_) | Detail::Amount(_) | Detail::At(_) => None,
        })
    };
    Some(match bulletin.topic {
        Topic::ApplicationSubmitted => format!("/onboarding/requests/{subject}"),
        Topic::GatewayClosed | Topic::GatewayOpened | Topic::GatewayPaused | Topic::GatewayResumed => {
            "/ops/gateways".to_owned()
        }
        Topic::DemoRequested => "/ops/demo-requests".to_owned(),
        Topic::RunHeld => "/ops/runs".to_owned(),
        Topic::SettlementUnexplained => match (detail("gateway"), detail("day")) {
            (Some(gateway), Some(day)) => format!("/ops/settlements?gateway={gateway}&day={day}"),
            _ => "/ops/settlements".to_owned(),
        },
        Topic::AttemptStuck
        | Topic::DisputeOpened
        | Topic::PaymentQuarantined
        | Topic::RefundFailed
        | Topic::RefundStuck
        | Topic::SubscriptionParked
        | Topic::SubscriptionStuck => format!("/billing/subscriptions/{subject}/cycles"),
        Topic::Alarm => {
            let (_, queue) = subject.strip_suffix("-dead-letters")?.split_once('-')?;
            format!("/ops/failed-charges?queue={queue}")
        }
    })
}

/// The message of a bulletin.
#[must_use]
pub fn render(bulletin: &Bulletin, links: &Links) -> Value {
    let Words { title, next } = words(bulletin.topic);
    let mut blocks = vec![json!({ "type": "header", "text": { "type": "plain_text", "text": title } })];
    let fields: Vec<Value> = bulletin
        .details
        .iter()
        .take(FIELDS_MAX)
        .map(|(name, detail)| json!({ "type": "mrkdwn", "text": format!("*{}*\n{}", safe(name), shown(detail)) }))
        .collect();
    if !fields.is_empty() {
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": format!("*다음 할 일* {next}") } }));
    if let Some(path) = path(bulletin) {
        let link = format!("<{}/api/v1{}|확인하기 · Look>", safe(&links.api), safe(&path));
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": link } }));
    }
    let (kind, subject) = (bulletin.topic.as_str(), safe(&bulletin.subject));
    let foot = format!("`{kind}` · {subject} · {}", in_seoul(bulletin.at));
    blocks.push(json!({ "type": "context", "elements": [{ "type": "mrkdwn", "text": foot }] }));
    json!({ "text": format!("{title} ({subject})"), "blocks": blocks })
}

fn shown(detail: &Detail) -> String {
    match detail {
        Detail::Text(text) => safe(text),
        Detail::Amount(amount) => money(*amount),
        Detail::At(at) => in_seoul(*at),
    }
}

/// `2027-01-31 10:05 KST`.
fn in_seoul(at: Timestamp) -> String {
    let local = at.to_zoned(zone());
    format!("{} {:02}:{:02} KST", local.date(), local.hour(), local.minute())
}

/// Text that cannot become a link, a mention or another block, and is not too long.
fn safe(text: &str) -> String {
    let short: String = text.chars().filter(|c| !c.is_control()).take(VALUE_MAX).collect();
    short.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::money::Money;

    fn bulletin(topic: Topic, subject: &str, details: Vec<(String, Detail)>) -> Bulletin {
        Bulletin { topic, subject: subject.to_owned(), at: "2027-01-31T01:05:00Z".parse().unwrap(), details }
    }

    fn links() -> Links {
        Links { api: "https://api.example.kr".into(), portal: None }
    }

    #[test]
    fn every_topic_says_what_to_do_and_where_to_look() {
        for topic in Topic::ALL {
            let said = render(&bulletin(topic, "prod-documents-dead-letters", Vec::new()), &links()).to_string();
            assert!(said.contains("다음 할 일") && said.contains("<https://api.example.kr/api/v1/"), "{said}");
            assert!(said.contains("2027-01-31 10:05 KST") && said.contains(topic.as_str()), "{said}");
        }
        let late = render(&bulletin(Topic::Alarm, "prod-event-forwarder-late", Vec::new()), &links()).to_string();
        assert!(!late.contains("https://") && late.contains("runbook"), "{late}");
    }

    #[test]
    fn a_held_run_reads_like_this() {
        let details = vec![
            ("amount".to_owned(), Detail::Amount(Money::krw(1_000_000))),
            ("count".to_owned(), Detail::Text("30".to_owned())),
        ];
        let said = render(&bulletin(Topic::RunHeld, "run_1", details), &links());
        let kinds: Vec<_> = said["blocks"].as_array().unwrap().iter().map(|b| b["type"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["header", "section", "section", "section", "context"]);
        assert_eq!(said["blocks"][1]["fields"][0]["text"], "*amount*\n1,000,000 KRW");
        assert_eq!(said["blocks"][3]["text"]["text"], "<https://api.example.kr/api/v1/ops/runs|확인하기 · Look>");
        assert_eq!(said["text"], "정기 결제 실행 보류 · Billing run held (run_1)");
    }

    #[test]
    fn no_value_is_a_mention_or_a_link() {
        let details = vec![("code".to_owned(), Detail::Text(format!("<!channel> <http://x|y> & {}", "z".repeat(900))))];
        let said = render(&bulletin(Topic::PaymentQuarantined, "<@U1>", details), &links());
        let text = said.to_string();
        assert!(!text.contains("<!channel>") && !text.contains("<http://x") && !text.contains("<@U1>"), "{text}");
        assert!(said["blocks"][1]["fields"][0]["text"].as_str().unwrap().len() < 400);
    }

    #[test]
    fn slack_takes_so_many_fields() {
        let details = (0..30).map(|n| (format!("f{n}"), Detail::Text("v".to_owned()))).collect();
        let said = render(&bulletin(Topic::RunHeld, "run_1", details), &links());
        assert_eq!(said["blocks"][1]["fields"].as_array().unwrap().len(), 10);
    }
}
