//! Stripe's fifty card decline codes and the error each one answers with.
//!
//! Invariant: four of them (`expired_card`, `incorrect_cvc`, `incorrect_number`, `processing_error`) travel as the error's
//! `code` without a `decline_code`; all others as `card_declined` with one. Only `chargeCustomerFail`'s advice and network
//! codes are recorded from Stripe; the others follow the documented meaning of each code.

use super::failure::Failure;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A refusal by the card's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decline {
    /// The name it has in the table.
    pub name: &'static str,
    /// `error.code`.
    pub code: &'static str,
    /// `error.decline_code`.
    pub decline_code: Option<&'static str>,
    /// `error.advice_code`.
    pub advice: Option<&'static str>,
    /// `error.network_decline_code`.
    pub network: Option<&'static str>,
    /// For the payer.
    pub message: &'static str,
    /// Refused by Stripe's own rules before the network saw it.
    pub blocked: bool,
}

/// What a failed charge remembers of its decline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Refused {
    /// `failure_code`.
    pub code: String,
    /// `failure_message`.
    pub message: String,
    /// `outcome`.
    pub outcome: Value,
}

const NEVER: Option<&str> = Some("do_not_try_again");
const LATER: Option<&str> = Some("try_again_later");
const DATA: Option<&str> = Some("confirm_card_data");

/// Name, advice, network decline code.
const CODES: &[(&str, Option<&str>, Option<&str>)] = &[
    ("approve_with_id", LATER, Some("08")),
    ("authentication_not_handled", None, None),
    ("authentication_required", None, Some("1A")),
    ("call_issuer", None, Some("01")),
    ("card_not_supported", NEVER, Some("57")),
    ("card_velocity_exceeded", LATER, Some("61")),
    ("currency_not_supported", NEVER, None),
    ("do_not_honor", None, Some("05")),
    ("do_not_try_again", NEVER, None),
    ("duplicate_transaction", None, Some("94")),
    ("expired_card", DATA, Some("54")),
    ("fraudulent", NEVER, None),
    ("generic_decline", LATER, Some("01")),
    ("incorrect_address", DATA, None),
    ("incorrect_cvc", DATA, Some("N7")),
    ("incorrect_number", DATA, Some("14")),
    ("incorrect_pin", None, Some("55")),
    ("incorrect_zip", DATA, None),
    ("insufficient_funds", LATER, Some("51")),
    ("invalid_account", NEVER, Some("14")),
    ("invalid_amount", None, Some("13")),
    ("invalid_cvc", DATA, None),
    ("invalid_expiry_month", DATA, None),
    ("invalid_expiry_year", DATA, None),
    ("invalid_number", DATA, Some("14")),
    ("invalid_pin", None, Some("55")),
    ("issuer_not_available", LATER, Some("91")),
    ("lost_card", NEVER, Some("41")),
    ("merchant_blacklist", NEVER, None),
    ("mobile_device_authentication_required", None, None),
    ("new_account_information_available", NEVER, Some("05")),
    ("no_action_taken", None, Some("21")),
    ("not_permitted", None, Some("57")),
    ("offline_pin_required", None, None),
    ("online_or_offline_pin_required", None, None),
    ("pickup_card", NEVER, Some("04")),
    ("pin_try_exceeded", NEVER, Some("75")),
    ("processing_error", LATER, None),
    ("reenter_transaction", LATER, Some("19")),
    ("restricted_card", NEVER, Some("62")),
    ("revocation_of_all_authorizations", NEVER, Some("R3")),
    ("revocation_of_authorization", NEVER, Some("R1")),
    ("security_violation", None, Some("63")),
    ("service_not_allowed", None, Some("57")),
    ("stolen_card", NEVER, Some("43")),
    ("stop_payment_order", NEVER, Some("R0")),
    ("testmode_decline", None, None),
    ("transaction_not_allowed", NEVER, Some("57")),
    ("try_again_later", LATER, None),
    ("withdrawal_count_limit_exceeded", LATER, Some("65")),
];

/// The names of all fifty.
#[cfg(test)]
pub fn names() -> impl Iterator<Item = &'static str> {
    CODES.iter().map(|(name, ..)| *name)
}

/// The decline called `name`.
pub fn find(name: &str) -> Option<Decline> {
    let &(name, advice, network) = CODES.iter().find(|(known, ..)| *known == name)?;
    let is_code = matches!(name, "expired_card" | "incorrect_cvc" | "incorrect_number" | "processing_error");
    Some(Decline {
        name,
        code: if is_code { name } else { "card_declined" },
        decline_code: (!is_code).then_some(name),
        advice,
        network,
        message: message(name),
        blocked: matches!(name, "fraudulent" | "merchant_blacklist"),
    })
}

/// The shape in which authentication is the error's `code` (the other shape is [`find`]'s).
pub fn authentication_required() -> Decline {
    Decline {
        name: "authentication_required",
        code: "authentication_required",
        decline_code: None,
        advice: None,
        network: None,
        message: message("authentication_required"),
        blocked: false,
    }
}

fn message(name: &str) -> &'static str {
    match name {
        "insufficient_funds" => "Your card has insufficient funds.",
        "expired_card" => "Your card has expired.",
        "incorrect_cvc" | "invalid_cvc" => "Your card's security code is incorrect.",
        "incorrect_number" | "invalid_number" => "Your card number is incorrect.",
        "invalid_expiry_month" => "Your card's expiration month is invalid.",
        "invalid_expiry_year" => "Your card's expiration year is invalid.",
        "processing_error" => "An error occurred while processing your card. Try again in a little bit.",
        "card_not_supported" => "Your card is not supported.",
        "currency_not_supported" => "Your card does not support this currency.",
        "duplicate_transaction" => "A transaction with identical amount and card was submitted very recently.",
        "card_velocity_exceeded" => {
            "Your card was declined for making repeated attempts too frequently or exceeding its amount limit."
        }
        "authentication_required" => "Your card was declined. This transaction requires authentication.",
        "authentication_not_handled" => {
            "This payment required an authentication action to complete, but `error_on_requires_action` was set."
        }
        _ => "Your card was declined.",
    }
}

impl Decline {
    /// The 402, without the objects that go with it.
    pub fn failure(&self) -> Failure {
        let optional =
            [("decline_code", self.decline_code), ("advice_code", self.advice), ("network_decline_code", self.network)];
        let base = Failure::card(self.code, self.message);
        optional
            .into_iter()
            .filter_map(|(name, value)| Some((name, value?)))
            .fold(base, |all, (name, value)| all.with(name, value))
    }

    /// What the failed charge keeps.
    pub fn refused(&self) -> Refused {
        let (kind, network_status, reason) = if self.blocked {
            ("blocked", "not_sent_to_network", "highest_risk_level")
        } else {
            ("issuer_declined", "declined_by_network", self.decline_code.unwrap_or(self.code))
        };
        Refused {
            code: self.code.to_owned(),
            message: self.message.to_owned(),
            outcome: json!({
                "type": kind, "network_status": network_status, "reason": reason,
                "risk_level": if self.blocked { "highest" } else { "normal" },
                "risk_score": if self.blocked { 90 } else { 20 },
                "seller_message": "The bank did not return any further details with this decline.",
                "advice_code": self.advice, "network_advice_code": null, "network_decline_code": self.network,
            }),
        }
    }
}
