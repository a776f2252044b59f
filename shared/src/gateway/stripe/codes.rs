//! What Stripe's decline codes mean (facts/stripe.md §5).
//!
//! Invariant: only listed codes are declines. A code that says "our side" or "test only" is none, nor is one nobody
//! listed; their attempts are looked up, and the state of the PaymentIntent decides.

use domain::charge::DeclineClass;
use serde_json::Value;

use super::super::json::{id, owned, text};

/// The reason in an error body, `last_payment_error` or `last_setup_error`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gateway) struct Failure {
    pub code: Option<String>,
    pub decline_code: Option<String>,
    pub advice: Option<String>,
    pub charge: Option<String>,
}

impl Failure {
    pub(in crate::gateway) fn read(error: &Value) -> Self {
        Failure {
            code: owned(error, "code"),
            decline_code: owned(error, "decline_code"),
            advice: owned(error, "advice_code"),
            charge: id(error, "charge"),
        }
    }

    /// The most telling raw code: the issuer's when there is one.
    pub(in crate::gateway) fn raw(&self) -> Option<&str> {
        self.decline_code.as_deref().or(self.code.as_deref())
    }

    /// The class of a refused charge; `None` when the codes do not say that the card was refused.
    pub(in crate::gateway) fn class(&self) -> Option<DeclineClass> {
        let by_issuer = self.decline_code.as_deref().and_then(group);
        let group = by_issuer.or_else(|| self.code.as_deref().and_then(group))?;
        // The network's advice outranks a vague or hopeful code, never a definite one.
        match (group, self.advice.as_deref()) {
            (Group::Soft | Group::Vague, Some("do_not_try_again")) => Some(DeclineClass::Hard),
            (Group::Vague, Some("confirm_card_data")) => Some(DeclineClass::Hard),
            (Group::Hard | Group::Data, _) => Some(DeclineClass::Hard),
            (Group::Soft | Group::Vague, _) => Some(DeclineClass::Soft),
            (Group::Auth, _) => Some(DeclineClass::Auth),
            (Group::Ours | Group::NotOnline, _) => None,
        }
    }
}

/// Whether a 400 says that the method was detached, which is for good (facts/stripe.md §4). It has no code of its own. A
/// method or customer that is *missing* says nothing of the kind: with the key of another account all of them are.
pub(super) fn is_detached(error: &Value) -> bool {
    text(error, "message").is_some_and(|message| message.contains("may not be used again"))
}

/// The groups of facts/stripe.md §5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    /// H: never again on this card.
    Hard,
    /// D: the payer must correct the card, so off-session it is as dead.
    Data,
    /// S: later.
    Soft,
    /// U: the issuer gives no reason.
    Vague,
    /// A: the payer must authenticate.
    Auth,
    /// M: our request or our side.
    Ours,
    /// X: card-present or test only.
    NotOnline,
}

fn group(code: &str) -> Option<Group> {
    Some(match code {
        "card_not_supported"
        | "currency_not_supported"
        | "do_not_try_again"
        | "fraudulent"
        | "incorrect_number"
        | "invalid_account"
        | "invalid_number"
        | "lost_card"
        | "merchant_blacklist"
        | "new_account_information_available"
        | "pickup_card"
        | "pin_try_exceeded"
        | "restricted_card"
        | "revocation_of_all_authorizations"
        | "revocation_of_authorization"
        | "stolen_card"
        | "stop_payment_order"
        | "transaction_not_allowed" => Group::Hard,

        "expired_card" | "incorrect_address" | "incorrect_cvc" | "incorrect_zip" | "invalid_cvc"
        | "invalid_expiry_month" | "invalid_expiry_year" => Group::Data,

        "approve_with_id"
        | "card_velocity_exceeded"
        | "insufficient_funds"
        | "issuer_not_available"
        | "processing_error"
        | "reenter_transaction"
        | "try_again_later"
        | "withdrawal_count_limit_exceeded"
        // An error code, not a decline code: too many refusals of this card in a day.
        | "card_decline_rate_limit_exceeded" => Group::Soft,

        "call_issuer" | "do_not_honor" | "generic_decline" | "no_action_taken" | "not_permitted"
        | "security_violation" | "service_not_allowed"
        // The error code that carries a decline code; alone, or with one nobody listed, it still says "refused".
        | "card_declined" => Group::Vague,

        "authentication_not_handled" | "authentication_required" | "mobile_device_authentication_required"
        | "payment_intent_action_required" | "payment_intent_authentication_failure" => Group::Auth,

        "duplicate_transaction" | "invalid_amount" => Group::Ours,

        "incorrect_pin" | "invalid_pin" | "offline_pin_required" | "online_or_offline_pin_required"
        | "testmode_decline" => Group::NotOnline,

        _ => return None,
    })
}

/// Refusals of a refund after which nothing was given back.
pub(super) fn refund_refused(error: &Value) -> bool {
    let code = text(error, "code");
    let listed = matches!(
        code,
        Some("charge_disputed" | "refund_disputed_payment" | "charge_not_refundable" | "resource_missing")
            | Some("charge_already_refunded" | "parameter_invalid_integer" | "amount_too_large" | "amount_too_small")
    );
    // More than is left has no code of its own, only the parameter it complains about.
    listed || (code.is_none() && text(error, "param") == Some("amount"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HARD: Option<DeclineClass> = Some(DeclineClass::Hard);
    const SOFT: Option<DeclineClass> = Some(DeclineClass::Soft);
    const AUTH: Option<DeclineClass> = Some(DeclineClass::Auth);

    /// All fifty decline codes of facts/stripe.md §5.2, in its order.
    const TABLE: &[(&str, Option<DeclineClass>)] = &[
        ("approve_with_id", SOFT),
        ("authentication_not_handled", AUTH),
        ("authentication_required", AUTH),
        ("call_issuer", SOFT),
        ("card_not_supported", HARD),
        ("card_velocity_exceeded", SOFT),
        ("currency_not_supported", HARD),
        ("do_not_honor", SOFT),
        ("do_not_try_again", HARD),
        ("duplicate_transaction", None),
        ("expired_card", HARD),
        ("fraudulent", HARD),
        ("generic_decline", SOFT),
        ("incorrect_address", HARD),
        ("incorrect_cvc", HARD),
        ("incorrect_number", HARD),
        ("incorrect_pin", None),
        ("incorrect_zip", HARD),
        ("insufficient_funds", SOFT),
        ("invalid_account", HARD),
        ("invalid_amount", None),
        ("invalid_cvc", HARD),
        ("invalid_expiry_month", HARD),
        ("invalid_expiry_year", HARD),
        ("invalid_number", HARD),
        ("invalid_pin", None),
        ("issuer_not_available", SOFT),
        ("lost_card", HARD),
        ("merchant_blacklist", HARD),
        ("mobile_device_authentication_required", AUTH),
        ("new_account_information_available", HARD),
        ("no_action_taken", SOFT),
        ("not_permitted", SOFT),
        ("offline_pin_required", None),
        ("online_or_offline_pin_required", None),
        ("pickup_card", HARD),
        ("pin_try_exceeded", HARD),
        ("processing_error", SOFT),
        ("reenter_transaction", SOFT),
        ("restricted_card", HARD),
        ("revocation_of_all_authorizations", HARD),
        ("revocation_of_authorization", HARD),
        ("security_violation", SOFT),
        ("service_not_allowed", SOFT),
        ("stolen_card", HARD),
        ("stop_payment_order", HARD),
        ("testmode_decline", None),
        ("transaction_not_allowed", HARD),
        ("try_again_later", SOFT),
        ("withdrawal_count_limit_exceeded", SOFT),
    ];

    fn failure(code: &str, decline_code: Option<&str>, advice: Option<&str>) -> Failure {
        Failure {
            code: Some(code.into()),
            decline_code: decline_code.map(str::to_owned),
            advice: advice.map(str::to_owned),
            charge: None,
        }
    }

    #[test]
    fn every_decline_code_has_its_class() {
        assert_eq!(TABLE.len(), 50);
        for (code, class) in TABLE {
            assert_eq!(failure("card_declined", Some(code), None).class(), *class, "{code}");
            assert_eq!(failure(code, None, None).class(), *class, "{code} as the error's own code");
        }
    }

    #[test]
    fn advice_outranks_hope_only() {
        let class = |decline_code, advice| failure("card_declined", Some(decline_code), Some(advice)).class();
        assert_eq!(class("generic_decline", "do_not_try_again"), HARD);
        assert_eq!(class("insufficient_funds", "do_not_try_again"), HARD);
        assert_eq!(class("do_not_honor", "confirm_card_data"), HARD);
        assert_eq!(class("insufficient_funds", "confirm_card_data"), SOFT);
        assert_eq!(class("lost_card", "try_again_later"), HARD);
        assert_eq!(class("authentication_required", "do_not_try_again"), AUTH);
        assert_eq!(class("duplicate_transaction", "try_again_later"), None);
    }

    #[test]
    fn unlisted_codes_are_no_decline_unless_the_card_was_declined() {
        assert_eq!(failure("something_new", None, None).class(), None);
        assert_eq!(failure("something_new", Some("newer_still"), None).class(), None);
        assert_eq!(failure("card_declined", Some("newer_still"), None).class(), SOFT);
        assert_eq!(failure("card_declined", Some("newer_still"), Some("do_not_try_again")).class(), HARD);
        assert_eq!(Failure::default().class(), None);
        assert_eq!(failure("card_declined", Some("lost_card"), None).raw(), Some("lost_card"));
        assert_eq!(failure("expired_card", None, None).raw(), Some("expired_card"));
    }
}
