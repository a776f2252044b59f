//! Which tax document a payment gets, by the rail the money came on: the one module that says so, each rule beside the
//! law it reads. A product reading, not legal advice.
//!
//! Invariants: the decision is a pure function of what the invoice froze; a card payment never gets a tax invoice; a
//! document is issued at most once, because the issuing service is given our own number.

use jiff::{Timestamp, ToSpan, civil::Date};
use serde::{Deserialize, Serialize};

use crate::calendar::OutOfRange;
use crate::charge::GatewayName;
use crate::event::Fact;
use crate::invoice::{Invoice, InvoiceId};

/// How the money came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Rail {
    Card,
    /// From account to account.
    Transfer,
}

/// The rail of a gateway's payments. Both register cards only; automatic transfers would be a method of their own.
#[must_use]
pub fn rail(gateway: GatewayName) -> Rail {
    match gateway {
        GatewayName::Toss | GatewayName::Stripe => Rail::Card,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TaxKind {
    /// 신용카드매출전표: made by the card company, nothing to issue.
    CardSlip,
    /// 세금계산서.
    TaxInvoice,
    /// 현금영수증.
    CashReceipt,
}

/// A rule and the law it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub kind: TaxKind,
    pub law: &'static str,
    pub says: &'static str,
}

const CARD_SLIP: Rule = Rule {
    kind: TaxKind::CardSlip,
    law: "부가가치세법 제33조 제2항, 제46조 제3항",
    says: "신용카드매출전표를 발급한 경우 세금계산서를 발급하지 않으며, 매출전표로 매입세액을 공제받는다.",
};
const TAX_INVOICE: Rule = Rule {
    kind: TaxKind::TaxInvoice,
    law: "부가가치세법 제32조, 제34조 제3항",
    says: "계좌 이체 대금은 공급일이 속하는 달의 다음 달 10일까지 세금계산서를 발급한다.",
};
const CASH_RECEIPT: Rule = Rule {
    kind: TaxKind::CashReceipt,
    law: "소득세법 제162조의3, 같은 법 시행령 제210조의3",
    says: "사업자가 아닌 소비자의 계좌 이체에는 입금일부터 5일 이내에 현금영수증을 발급한다.",
};

/// Days after a consumer's transfer by which its cash receipt is issued without being asked for.
const CASH_RECEIPT_DAYS: i64 = 5;
/// Day of the next month by which a tax invoice is issued.
const TAX_INVOICE_DAY: i8 = 10;

/// What must be issued, under which rule, and by when (Seoul date, that day included).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub rule: Rule,
    /// None when nothing is to be issued by us.
    pub due: Option<Date>,
}

/// Decides for a payment on `rail`, made on a Seoul date by a business (it has a registration number) or a consumer.
///
/// # Errors
/// Past the range of the calendar.
pub fn decide(rail: Rail, business: bool, paid_on: Date) -> Result<Decision, OutOfRange> {
    match (rail, business) {
        (Rail::Card, _) => Ok(Decision { rule: CARD_SLIP, due: None }),
        (Rail::Transfer, true) => {
            let next = paid_on.first_of_month().checked_add(1.month()).map_err(|_| OutOfRange)?;
            let due = next.with().day(TAX_INVOICE_DAY).build().map_err(|_| OutOfRange)?;
            Ok(Decision { rule: TAX_INVOICE, due: Some(due) })
        }
        (Rail::Transfer, false) => {
            let due = paid_on.checked_add(CASH_RECEIPT_DAYS.days()).map_err(|_| OutOfRange)?;
            Ok(Decision { rule: CASH_RECEIPT, due: Some(due) })
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum TaxStatus {
    /// The card slip is the document.
    NotRequired,
    /// Decided; not issued yet.
    Pending,
    Issued,
}

/// The tax document of an invoice, as decided and, where needed, issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaxDocument {
    pub invoice_id: InvoiceId,
    pub kind: TaxKind,
    pub status: TaxStatus,
    /// The law it was decided by.
    pub law: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Date>,
    /// Our own number at the issuing service (at most 24 characters), which makes issuing again the same document.
    pub own_number: String,
    /// The approval number of the issuing service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub decided_at: Timestamp,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "jiff::fmt::serde::timestamp::millisecond::optional"
    )]
    pub issued_at: Option<Timestamp>,
    pub version: u64,
}

impl TaxDocument {
    /// The decision for an invoice, to be recorded.
    ///
    /// # Errors
    /// Past the range of the calendar.
    pub fn of(invoice: &Invoice, now: Timestamp) -> Result<TaxDocument, OutOfRange> {
        let business = invoice.buyer.registration_number.is_some();
        let Decision { rule, due } = decide(invoice.payment.rail, business, invoice.payment.on)?;
        let status = if due.is_none() { TaxStatus::NotRequired } else { TaxStatus::Pending };
        Ok(TaxDocument {
            invoice_id: invoice.id.clone(),
            kind: rule.kind,
            status,
            law: rule.law.to_owned(),
            due,
            own_number: invoice.number.clone(),
            approval: None,
            decided_at: now,
            issued_at: None,
            version: 0,
        })
    }

    /// The document once the service has issued it. None when there is nothing to issue, or it was issued before.
    #[must_use]
    pub fn issued(&self, approval: String, at: Timestamp) -> Option<TaxDocument> {
        let after =
            TaxDocument { status: TaxStatus::Issued, approval: Some(approval), issued_at: Some(at), ..self.clone() };
        (self.status == TaxStatus::Pending).then_some(after)
    }

    /// What the audit log says about its present state.
    #[must_use]
    pub fn fact(&self) -> Fact {
        let name = match self.status {
            TaxStatus::NotRequired | TaxStatus::Pending => "tax_document.decided",
            TaxStatus::Issued => "tax_document.issued",
        };
        let kind = match self.kind {
            TaxKind::CardSlip => "CARD_SLIP",
            TaxKind::TaxInvoice => "TAX_INVOICE",
            TaxKind::CashReceipt => "CASH_RECEIPT",
        };
        let fact = Fact::new(name, self.invoice_id.as_str()).with("kind", kind);
        match &self.approval {
            Some(approval) => fact.with("approval", approval.as_str()),
            None => fact,
        }
    }
}

/// What the rules say, for whoever wants to read them: one for each document.
pub const RULES_OF_TAX: [Rule; 3] = [CARD_SLIP, TAX_INVOICE, CASH_RECEIPT];
