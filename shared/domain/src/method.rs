//! Payment methods: a card registered at a gateway, known to us as an encrypted token and a masked face.
//!
//! Invariants: the token is ciphertext bound to (tenant, method); a deleted or invalid method is never charged; a
//! method with a live attempt is not deleted.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::charge::GatewayName;
use crate::ids::{MethodId, TenantId};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Status {
    Active,
    /// The gateway said the card can never be charged again (hard decline).
    Invalid,
    /// An unsigned event says the key is gone; the next charge confirms it.
    Suspect,
    Deleted,
}

/// What may be shown of a card. Never a full number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaskedCard {
    pub brand: Option<String>,
    pub last4: Option<String>,
    pub exp_month: Option<u8>,
    pub exp_year: Option<u16>,
}

/// A ciphertext with the id of the key that made it (AES-256-GCM, base64; see the crypto module for the format).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    pub kid: String,
    pub data: String,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({})", self.kid)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentMethod {
    pub id: MethodId,
    pub tenant_id: TenantId,
    pub gateway: GatewayName,
    pub status: Status,
    pub card: MaskedCard,
    /// The Toss billing key or the Stripe payment method id.
    pub token: Sealed,
    /// Whom the gateway knows the payer as: the Toss customerKey or the Stripe customer id. Half a secret at Toss.
    pub customer: Sealed,
    pub holder_name: Option<Sealed>,
    /// Keyed hash of the token, by which a gateway's event finds this row.
    pub token_hash: String,
    #[serde(with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub created_at: Timestamp,
    pub version: u64,
}

impl PaymentMethod {
    /// Whether a charge may be started on it.
    #[must_use]
    pub fn chargeable(&self) -> bool {
        match self.status {
            Status::Active | Status::Suspect => true,
            Status::Invalid | Status::Deleted => false,
        }
    }
}
