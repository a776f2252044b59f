//! The words of each letter: Korean first, and for each paragraph its English.

use domain::calendar::Period;
use domain::ids::RequestId;
use domain::money::Money;
use domain::notice::letter::{CardNeeded, Letter, Paid};
use jiff::civil::Date;

use super::Links;
use crate::text::{days, korean_money, money};

/// A paragraph in both languages.
pub(super) struct Said {
    pub ko: String,
    pub en: String,
}

/// What a mail says, before it is text or HTML.
pub(super) struct Page {
    pub subject_ko: &'static str,
    pub subject_en: &'static str,
    pub lead: Vec<Said>,
    /// Names in both languages, and values.
    pub facts: Vec<(&'static str, String)>,
    /// A button: its name, and where it leads.
    pub link: Option<(&'static str, String)>,
    pub tail: Vec<Said>,
}

fn said(ko: impl Into<String>, en: impl Into<String>) -> Said {
    Said { ko: ko.into(), en: en.into() }
}

fn both(amount: Money) -> String {
    match korean_money(amount) {
        won if won.ends_with('원') => format!("{won} ({})", money(amount)),
        other => other,
    }
}

impl Page {
    fn new(subject_ko: &'static str, subject_en: &'static str, lead: Said) -> Page {
        Page { subject_ko, subject_en, lead: vec![lead], facts: Vec::new(), link: None, tail: Vec::new() }
    }

    fn amount(self, amount: Money) -> Page {
        self.fact("금액 / Amount", both(amount))
    }

    fn period(self, period: Period) -> Page {
        self.fact("이용 기간 / Period", days(period))
    }

    fn fact(mut self, name: &'static str, value: impl ToString) -> Page {
        self.facts.push((name, value.to_string()));
        self
    }

    fn then(mut self, ko: impl Into<String>, en: impl Into<String>) -> Page {
        self.tail.push(said(ko, en));
        self
    }

    /// Where a card is registered: the tenants' pages, or by writing back.
    fn card(mut self, links: &Links) -> Page {
        match &links.portal {
            Some(portal) => self.link = Some(("카드 등록하기 / Register a card", portal.clone())),
            None => {
                self.tail.push(said(
                    "이 메일에 회신해 주시면 카드 등록을 도와드리겠습니다.",
                    "Reply to this mail and we will help you register a card.",
                ));
            }
        }
        self
    }
}

/// The words of a letter. `signed` is what was signed for it: a payment guide's link, or an application's token.
pub(super) fn page(letter: &Letter, links: &Links, signed: Option<&str>) -> Page {
    match letter {
        Letter::ApplicationReceived { .. }
        | Letter::Approved
        | Letter::Rejected { .. }
        | Letter::OnHold { .. }
        | Letter::Expired
        | Letter::Withdrawn
        | Letter::Lapsed => application(letter, links),
        Letter::FirstPayment(paid) => payment(
            "첫 결제가 완료되어 이용이 시작되었습니다",
            "Your first payment went through",
            "첫 결제가 완료되었습니다. 이제 모든 서비스를 이용하실 수 있습니다.",
            "Your first payment went through. Your subscription is active.",
            paid,
        ),
        Letter::Receipt(paid) => payment(
            "정기 결제가 완료되었습니다",
            "Payment received",
            "이번 이용 기간의 정기 결제가 완료되었습니다.",
            "Your recurring payment for this period went through.",
            paid,
        ),
        Letter::Recovered(paid) => payment(
            "미납 요금이 결제되었습니다",
            "Your overdue payment went through",
            "앞서 실패했던 결제가 완료되었습니다. 서비스를 정상적으로 이용하실 수 있습니다.",
            "The payment that had failed went through. Your service goes on.",
            paid,
        ),
        Letter::Upcoming { amount, period, card_usable } => upcoming(*amount, *period, *card_usable, links),
        Letter::PaymentFailed { amount, period, step, retry_on, deadline } => {
            failed(*amount, *period, *step, *retry_on, *deadline, links)
        }
        Letter::CardNeeded { amount, why, by } => card_needed(*amount, *why, *by, links),
        Letter::Suspended { amount, ends_on } => Page::new(
            "결제가 되지 않아 서비스가 정지되었습니다",
            "Your service is suspended",
            said(
                "여러 차례 결제를 시도했으나 완료되지 않아 서비스 이용이 정지되었습니다. 결제하시면 바로 다시 이용하실 수 있습니다.",
                "We could not collect your payment, so the service is suspended. It resumes as soon as you pay.",
            ),
        )
        .amount(*amount)
        .fact("이용 종료 예정일 / Ends on", ends_on)
        .card(links),
        Letter::CancelScheduled { .. } | Letter::Cancelled { .. } | Letter::Refunded { .. } => leaving(letter),
        Letter::CardExpiring { brand, last_day } => Page::new(
            "등록하신 카드의 유효기간이 곧 끝납니다",
            "Your card is about to expire",
            said(
                "정기 결제에 등록된 카드의 유효기간을 확인해 주세요. 새 카드를 등록하시면 다음 결제부터 사용됩니다.",
                "Please check the card of your subscription. A new card is used from the next payment on.",
            ),
        )
        .fact("카드사 / Card", brand.as_deref().unwrap_or("-"))
        .fact("유효기간 / Valid until", last_day)
        .card(links),
        Letter::CardSuspect => Page::new(
            "등록하신 카드를 확인해 주세요",
            "Please check your card",
            said(
                "카드사에서 등록하신 카드의 자동결제가 해지되었다는 알림을 받았습니다. 해지하지 않으셨다면 조치하실 것이 없으며, 카드를 바꾸셨다면 새 카드를 등록해 주세요.",
                "We were told that automatic payment with your card was cancelled. If you changed cards, please register the new one.",
            ),
        )
        .card(links),
        Letter::Guide { amount } => {
            let mut page = Page::new(
                "카드 결제 중단에 따른 결제 방법 안내",
                "How to pay while card payments are paused",
                said(
                    "카드 결제가 잠시 중단되어 자동 결제를 하지 못했습니다. 서비스는 계속 이용하실 수 있으며, 재개되면 등록하신 카드로 자동 결제됩니다. 지금 이체로 결제하시려면 아래 안내를 확인해 주세요.",
                    "Card payments are paused. Your service goes on and your card is charged when they resume. To pay by transfer now, see the guide.",
                ),
            )
            .amount(*amount);
            page.link = signed.map(|url| ("결제 안내 보기 / See how to pay", url.to_owned()));
            page
        }
        Letter::Link { application } => link(application, links, signed),
    }
}

/// The token stands behind the `#`, which browsers send to no server. Without the tenants' pages it is shown as it is.
fn link(application: &RequestId, links: &Links, token: Option<&str>) -> Page {
    let page = Page::new(
        "입점 신청 링크를 다시 보내 드립니다",
        "Your link to the application",
        said(
            "요청하신 대로 입점 신청을 이어서 진행하실 수 있는 링크를 보내 드립니다. 이 링크로 신청 내용을 볼 수 있으니 다른 사람에게 전달하지 마세요.",
            "As you asked, here is the way back to your application. Whoever has it can act for you, so please do not pass it on.",
        ),
    )
    .fact("신청 번호 / Application", application);
    let page = match (&links.portal, token) {
        (Some(portal), Some(token)) => {
            let url = format!("{portal}/applications/{application}#token={token}");
            Page { link: Some(("신청 이어서 하기 / Go on", url)), ..page }
        }
        (None, Some(token)) => page.fact("토큰 / Token", token),
        (_, None) => page,
    };
    page.then(
        "30일 동안 사용하실 수 있습니다. 요청하지 않으셨다면 이 메일을 무시하셔도 됩니다.",
        "It works for 30 days. If you did not ask for it, you can ignore this mail.",
    )
}

fn application(letter: &Letter, links: &Links) -> Page {
    let noted = |page: Page, note: &Option<String>| match note {
        Some(note) => page.fact("사유 / Note", note),
        None => page,
    };
    match letter {
        Letter::ApplicationReceived { card_registered: true } => Page::new(
            "입점 신청이 접수되었습니다",
            "We received your application",
            said(
                "신청해 주셔서 감사합니다. 내용을 검토한 뒤 결과를 메일로 알려 드립니다.",
                "Thank you for applying. We will review your application and write to you.",
            ),
        ),
        Letter::Approved => Page::new(
            "입점 신청이 승인되었습니다",
            "Your application was approved",
            said(
                "신청이 승인되었습니다. 등록하신 카드로 첫 결제가 진행되며, 결제가 완료되면 바로 이용하실 수 있습니다.",
                "Your application was approved. Your card is charged for the first period, and you can start at once.",
            ),
        ),
        Letter::Rejected { note } => noted(
            Page::new(
                "입점 신청 결과를 알려 드립니다",
                "About your application",
                said(
                    "아쉽게도 이번 신청을 승인해 드리지 못했습니다. 결제된 금액은 없습니다.",
                    "We are sorry: your application was not approved. Nothing was charged.",
                ),
            ),
            note,
        ),
        Letter::OnHold { note } => noted(
            Page::new(
                "입점 신청이 보류되었습니다",
                "Your application is on hold",
                said(
                    "검토를 계속하려면 확인이 더 필요합니다. 아래 사유를 보시고 이 메일에 회신해 주세요.",
                    "We need something more to go on. Please see the note and reply to this mail.",
                ),
            ),
            note,
        ),
        Letter::Expired => Page::new(
            "입점 신청이 종료되었습니다",
            "Your application has ended",
            said(
                "30일 동안 진행되지 않아 신청이 종료되었습니다. 결제된 금액은 없으며, 등록하신 카드 정보는 삭제됩니다. 언제든 다시 신청하실 수 있습니다.",
                "Nothing happened for 30 days, so your application has ended. Nothing was charged and your card is deleted. You can apply again at any time.",
            ),
        ),
        Letter::Withdrawn => Page::new(
            "입점 신청이 취소되었습니다",
            "You withdrew your application",
            said(
                "요청하신 대로 신청을 취소했습니다. 결제된 금액은 없으며, 등록하신 카드 정보는 삭제됩니다.",
                "We cancelled your application as you asked. Nothing was charged and your card is deleted.",
            ),
        ),
        Letter::Lapsed => Page::new(
            "첫 결제가 되지 않아 신청이 종료되었습니다",
            "Your application has ended",
            said(
                "기한 안에 첫 결제가 이루어지지 않아 신청이 종료되었습니다. 언제든 다시 신청하실 수 있습니다.",
                "The first payment was not made in time, so your application has ended. You can apply again at any time.",
            ),
        ),
        // Received, and no card yet.
        _ => Page::new(
            "입점 신청이 접수되었습니다",
            "We received your application",
            said(
                "신청해 주셔서 감사합니다. 카드를 등록하시면 승인을 위한 검토가 끝까지 진행됩니다.",
                "Thank you for applying. Please register a card: an application is approved once there is one.",
            ),
        )
        .card(links),
    }
}

fn payment(
    subject_ko: &'static str,
    subject_en: &'static str,
    ko: &'static str,
    en: &'static str,
    paid: &Paid,
) -> Page {
    let page = Page::new(subject_ko, subject_en, said(ko, en))
        .amount(paid.amount)
        .fact("결제일 / Paid on", paid.on)
        .period(paid.period);
    let page = match paid.next_on {
        Some(next) => page.fact("다음 결제일 / Next charge", next),
        None => page,
    };
    page.then(
        "금액에는 부가가치세가 포함되어 있습니다. 카드 결제에는 신용카드매출전표가 발급되며 세금계산서는 발급되지 않습니다.",
        "VAT is included. A card payment comes with a card sales slip instead of a tax invoice.",
    )
}

fn upcoming(amount: Money, period: Period, card_usable: bool, links: &Links) -> Page {
    let page = Page::new(
        "정기 결제 예정 안내",
        "A charge is coming up",
        said(
            "아래와 같이 정기 결제가 예정되어 있어 미리 알려 드립니다. 계속 이용하시려면 따로 하실 일은 없습니다.",
            "This is to tell you ahead of your next recurring charge. To go on, you need not do anything.",
        ),
    )
    .fact("결제 예정일 / Charged on", period.start)
    .amount(amount)
    .period(period)
    .then(
        "원하지 않으시면 결제 예정일 전까지 언제든 해지하실 수 있으며, 해지하시면 결제되지 않습니다.",
        "You can cancel at any time before that day; then nothing is charged.",
    );
    if card_usable {
        return page;
    }
    page.then(
        "등록하신 카드를 지금은 사용할 수 없습니다. 결제 예정일 전에 새 카드를 등록해 주세요.",
        "Your registered card cannot be charged. Please register another one before that day.",
    )
    .card(links)
}

fn failed(amount: Money, period: Period, step: u32, retry_on: Date, deadline: Date, links: &Links) -> Page {
    let (ko, en) = if step == 0 {
        ("정기 결제가 완료되지 않았습니다.", "Your recurring payment did not go through.")
    } else {
        ("다시 시도했으나 결제가 완료되지 않았습니다.", "We tried again, and your payment did not go through.")
    };
    Page::new(
        "정기 결제가 실패했습니다",
        "Your payment failed",
        said(
            format!("{ko} 한도나 잔액을 확인해 주세요. 아래 날짜에 같은 카드로 다시 결제됩니다."),
            format!("{en} Please check your limit or balance. We charge the same card again on the day below."),
        ),
    )
    .amount(amount)
    .period(period)
    .fact("다시 결제하는 날 / Next try", retry_on)
    .fact("서비스 정지 예정일 / Suspended on", deadline)
    .then(
        "다른 카드를 등록하시면 바로 결제되며, 그 전까지는 서비스를 그대로 이용하실 수 있습니다.",
        "Another card is charged as soon as you register it. Until then your service goes on.",
    )
    .card(links)
}

fn card_needed(amount: Money, why: CardNeeded, by: Date, links: &Links) -> Page {
    let (ko, en) = match why {
        CardNeeded::FirstPayment => (
            "첫 결제가 완료되지 않았습니다. 다른 카드를 등록하시면 바로 결제되고 이용이 시작됩니다.",
            "Your first payment did not go through. Register another card and it is charged at once.",
        ),
        CardNeeded::Renewal => (
            "등록하신 카드로는 더 이상 결제할 수 없습니다. 다른 카드를 등록하시면 바로 결제됩니다. 기한이 지나면 서비스가 정지됩니다.",
            "The registered card cannot be charged any more. Register another card and it is charged at once. After the day below the service is suspended.",
        ),
        CardNeeded::Suspended => (
            "결제가 완료되지 않아 서비스가 정지된 상태입니다. 다른 카드를 등록하시면 바로 결제되고 다시 이용하실 수 있습니다.",
            "The payment did not go through and your service is suspended. Register another card to resume it.",
        ),
    };
    Page::new("새 카드를 등록해 주세요", "Please register another card", said(ko, en))
        .amount(amount)
        .fact("등록 기한 / By", by)
        .card(links)
}

fn leaving(letter: &Letter) -> Page {
    match letter {
        Letter::CancelScheduled { last_day } => Page::new(
            "해지 예약이 완료되었습니다",
            "Your cancellation is set",
            said(
                "요청하신 해지가 예약되었습니다. 마지막 이용일까지 그대로 이용하실 수 있으며 더 이상 결제되지 않습니다.",
                "Your subscription ends as you asked. You can use it until the last day, and nothing more is charged.",
            ),
        )
        .fact("마지막 이용일 / Last day", last_day),
        Letter::Refunded { amount, paid, left, on } => Page::new(
            "환불이 완료되었습니다",
            "Your refund was made",
            said(
                "결제하신 금액을 환불했습니다. 카드사에 따라 반영까지 며칠이 걸릴 수 있습니다.",
                "We gave back the amount below. It may take your card company some days to show it.",
            ),
        )
        .fact("환불 금액 / Refunded", both(*amount))
        .fact("환불일 / On", on)
        .fact("원 결제 금액 / Paid", both(*paid))
        .fact("환불 후 금액 / Left", both(*left)),
        _ => {
            let page = Page::new(
                "구독이 해지되었습니다",
                "Your subscription was cancelled",
                said(
                    "구독이 해지되었습니다. 더 이상 결제되지 않습니다. 그동안 이용해 주셔서 감사합니다.",
                    "Your subscription was cancelled, and nothing more is charged. Thank you for having been with us.",
                ),
            );
            match letter {
                Letter::Cancelled { access_until: Some(day) } => page
                    .fact("데이터 보관 종료일 / Data kept until", day)
                    .then(
                        "그날까지 데이터를 내려받으실 수 있습니다.",
                        "You can download your data until that day.",
                    ),
                _ => page,
            }
        }
    }
}
