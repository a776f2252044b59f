//! Stripe's test cards: what each `pm_card_…` id does when it is saved, charged, refunded.
//!
//! Invariants: the plain `chargeDeclined…` cards are refused when they are attached, as Stripe's are; a card named in a
//! behaviour override plays its charge-time part whatever it would have done at attachment.

use super::declines::{self, Decline};

/// When a card wants its holder to authenticate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Never.
    Never,
    /// At every payment and at setup.
    Always,
    /// Until it was set up with authentication.
    UntilSetUp,
    /// Only while the holder is there: off-session payments pass.
    OnSession,
}

/// What follows a successful charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aftermath {
    /// Nothing unusual.
    Ordinary,
    /// Refunds start pending and succeed later.
    RefundPends,
    /// Refunds look succeeded and fail later.
    RefundFails,
    /// The holder disputes at once, for this reason.
    Dispute(&'static str),
    /// The holder inquires at once: a dispute that moves no money.
    Inquiry,
    /// The money is available at once.
    Available,
}

/// One test card.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Card {
    /// The id without `pm_card_` and without `visa_` before a decline.
    pub name: &'static str,
    /// `visa`, `jcb`, …
    pub brand: &'static str,
    /// Last four digits.
    pub last4: &'static str,
    /// `credit`, `debit` or `prepaid`.
    pub funding: &'static str,
    /// Refusal when saved, as a decline code.
    pub at_attach: Option<&'static str>,
    /// Refusal when charged, as a decline code.
    pub at_charge: Option<&'static str>,
    /// When authentication is wanted.
    pub authentication: Authentication,
    /// What follows a success.
    pub aftermath: Aftermath,
}

/// How a charge ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Paid.
    Approved,
    /// Refused.
    Declined(Decline),
    /// The holder must authenticate and is there to do it.
    Authenticate,
}

/// The circumstances of a charge.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    /// The holder is not there.
    pub off_session: bool,
    /// Fail rather than wait for the holder.
    pub error_on_action: bool,
    /// The holder has just authenticated.
    pub authenticated: bool,
    /// The card was saved through a SetupIntent.
    pub set_up: bool,
}

impl Card {
    /// How a charge under `terms` ends.
    pub fn charge(&self, terms: Terms) -> Verdict {
        let asks = match self.authentication {
            Authentication::Never => false,
            Authentication::Always => true,
            Authentication::UntilSetUp => !terms.set_up,
            Authentication::OnSession => !terms.off_session,
        };
        if asks && !terms.authenticated {
            return match (terms.off_session, terms.error_on_action) {
                (true, _) => Verdict::Declined(declines::authentication_required()),
                (false, true) => {
                    declines::find("authentication_not_handled").map_or(Verdict::Authenticate, Verdict::Declined)
                }
                (false, false) => Verdict::Authenticate,
            };
        }
        self.at_charge.and_then(declines::find).map_or(Verdict::Approved, Verdict::Declined)
    }

    /// The refusal when it is saved.
    pub fn attach(&self) -> Option<Decline> {
        self.at_attach.and_then(declines::find)
    }

    /// Whether saving it through a SetupIntent needs its holder.
    pub fn setup_asks(&self) -> bool {
        matches!(self.authentication, Authentication::Always | Authentication::UntilSetUp)
    }
}

const fn good(name: &'static str, brand: &'static str, last4: &'static str, funding: &'static str) -> Card {
    Card {
        name,
        brand,
        last4,
        funding,
        at_attach: None,
        at_charge: None,
        authentication: Authentication::Never,
        aftermath: Aftermath::Ordinary,
    }
}

const fn visa(name: &'static str, last4: &'static str) -> Card {
    good(name, "visa", last4, "credit")
}

/// Refused when saved and when charged.
const fn refused(name: &'static str, last4: &'static str, code: &'static str) -> Card {
    Card { at_attach: Some(code), at_charge: Some(code), ..visa(name, last4) }
}

/// Saved without trouble, refused when charged.
const fn fails_later(name: &'static str, last4: &'static str, code: &'static str) -> Card {
    Card { at_charge: Some(code), ..visa(name, last4) }
}

const fn asks(name: &'static str, last4: &'static str, authentication: Authentication) -> Card {
    Card { authentication, ..visa(name, last4) }
}

const fn then(name: &'static str, last4: &'static str, aftermath: Aftermath) -> Card {
    Card { aftermath, ..visa(name, last4) }
}

/// Every card, plain ones first.
pub const CARDS: &[Card] = &[
    visa("visa", "4242"),
    good("visa_debit", "visa", "5556", "debit"),
    good("mastercard", "mastercard", "4444", "credit"),
    good("mastercard_debit", "mastercard", "8210", "debit"),
    good("mastercard_prepaid", "mastercard", "5100", "prepaid"),
    good("amex", "amex", "0005", "credit"),
    good("jcb", "jcb", "0505", "credit"),
    good("discover", "discover", "1117", "credit"),
    good("diners", "diners", "5904", "credit"),
    good("unionpay", "unionpay", "0005", "credit"),
    refused("chargeDeclined", "0002", "generic_decline"),
    refused("chargeDeclinedInsufficientFunds", "9995", "insufficient_funds"),
    refused("chargeDeclinedLostCard", "9987", "lost_card"),
    refused("chargeDeclinedStolenCard", "9979", "stolen_card"),
    refused("chargeDeclinedExpiredCard", "0069", "expired_card"),
    refused("chargeDeclinedIncorrectCvc", "0127", "incorrect_cvc"),
    refused("chargeDeclinedProcessingError", "0119", "processing_error"),
    refused("chargeDeclinedVelocityLimitExceeded", "6975", "card_velocity_exceeded"),
    refused("chargeDeclinedFraudulent", "0019", "fraudulent"),
    fails_later("radarBlock", "0019", "fraudulent"),
    fails_later("chargeCustomerFail", "0341", "generic_decline"),
    fails_later("chargeCustomerFailLostCard", "0341", "lost_card"),
    fails_later("chargeCustomerFailStolenCard", "0341", "stolen_card"),
    asks("authenticationRequiredOnSetup", "3155", Authentication::UntilSetUp),
    asks("authenticationRequired", "3184", Authentication::Always),
    asks("authenticationRequiredSetupForOffSession", "0446", Authentication::OnSession),
    Card {
        at_charge: Some("insufficient_funds"),
        ..asks("authenticationRequiredChargeDeclinedInsufficientFunds", "3178", Authentication::OnSession)
    },
    then("pendingRefund", "7726", Aftermath::RefundPends),
    then("refundFail", "5126", Aftermath::RefundFails),
    then("createDispute", "0259", Aftermath::Dispute("fraudulent")),
    then("createDisputeProductNotReceived", "2685", Aftermath::Dispute("product_not_received")),
    then("createDisputeInquiry", "1976", Aftermath::Inquiry),
    then("bypassPending", "0077", Aftermath::Available),
];

/// The card behind a test id (`pm_card_…`, `tok_…`); `visa_` before a refusal is optional. `None` for a real id.
pub fn by_alias(id: &str) -> Option<Card> {
    let name = id.strip_prefix("pm_card_").or_else(|| id.strip_prefix("tok_"))?;
    by_name(name)
}

/// The card stored under its name.
pub fn by_name(name: &str) -> Option<Card> {
    let exact = CARDS.iter().find(|card| card.name == name);
    let bare = name.strip_prefix("visa_").unwrap_or(name);
    exact.or_else(|| CARDS.iter().find(|card| card.name == bare)).copied()
}

/// The card a behaviour override names: a test id, its bare name, a decline code, or `approved`.
pub fn by_behaviour(name: &str) -> Option<Card> {
    if name == "approved" {
        return by_name("visa");
    }
    let coded = declines::find(name).map(|decline| fails_later("override", "0341", decline.name));
    by_alias(name).or_else(|| by_name(name)).or(coded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off_session(name: &str) -> Verdict {
        by_behaviour(name).unwrap().charge(Terms { off_session: true, ..Terms::default() })
    }

    fn code(verdict: Verdict) -> (String, Option<String>) {
        match verdict {
            Verdict::Declined(decline) => (decline.code.to_owned(), decline.decline_code.map(str::to_owned)),
            other => (format!("{other:?}"), None),
        }
    }

    #[test]
    fn ids_with_and_without_visa_name_one_card() {
        let plain = by_alias("pm_card_chargeDeclinedInsufficientFunds").unwrap();
        assert_eq!(by_alias("pm_card_visa_chargeDeclinedInsufficientFunds").unwrap(), plain);
        assert_eq!(plain.attach().unwrap().decline_code, Some("insufficient_funds"));
        assert_eq!(by_alias("pm_card_visa_debit").unwrap().funding, "debit");
        assert_eq!(by_alias("pm_1RealLooking"), None);
    }

    #[test]
    fn charge_failure_cards_attach_and_then_decline() {
        let card = by_alias("pm_card_chargeCustomerFail").unwrap();
        assert_eq!(card.attach(), None);
        assert_eq!(code(off_session("pm_card_chargeCustomerFail")).1.as_deref(), Some("generic_decline"));
    }

    #[test]
    fn authentication_depends_on_setup_and_session() {
        let card = by_alias("pm_card_authenticationRequiredOnSetup").unwrap();
        let away = Terms { off_session: true, ..Terms::default() };
        assert_eq!(code(card.charge(away)).0, "authentication_required");
        assert_eq!(card.charge(Terms { set_up: true, ..away }), Verdict::Approved);
        assert_eq!(card.charge(Terms::default()), Verdict::Authenticate);
        let stopped = card.charge(Terms { error_on_action: true, ..Terms::default() });
        assert_eq!(code(stopped).1.as_deref(), Some("authentication_not_handled"));
        assert_eq!(off_session("pm_card_authenticationRequiredSetupForOffSession"), Verdict::Approved);
        let both = code(off_session("pm_card_authenticationRequiredChargeDeclinedInsufficientFunds"));
        assert_eq!(both.1.as_deref(), Some("insufficient_funds"));
    }

    #[test]
    fn every_decline_code_can_be_played_and_both_authentication_shapes_exist() {
        assert_eq!(declines::names().count(), 50);
        assert!(declines::names().all(|name| matches!(off_session(name), Verdict::Declined(_))));
        assert_eq!(off_session("approved"), Verdict::Approved);
        assert_eq!(code(off_session("pm_card_authenticationRequired")).0, "authentication_required");
        let shape = code(off_session("authentication_required"));
        assert_eq!(shape, ("card_declined".to_owned(), Some("authentication_required".to_owned())));
        assert_eq!(by_behaviour("no_such_thing"), None);
    }
}
