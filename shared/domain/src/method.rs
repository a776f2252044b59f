//! Payment methods: a card registered at a gateway, known to us as an encrypted token and a masked face.
//!
//! Invariants: the token is ciphertext bound to (tenant, method); a deleted or invalid method is never charged; a
//! method with a live attempt is not deleted; a card that was refused too often is left alone for a while.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::charge::GatewayName;
use crate::event::Fact;
use crate::ids::{MethodId, TenantId};

/// Declined attempts after which a card is not tried again within [`TRIES_DAYS`] (product.md, "Ceilings"). The card
/// networks bound *re-attempts of declined transactions* (Visa: 15, since 2025-05 20, in 30 days; facts/billing-practice.md
/// §b.3), so a success is none, nor is an attempt that never reached the card. Counted per registration: Toss tells no
/// fingerprint by which the same card, registered again, could be known.
pub const TRIES_PER_CARD: usize = 15;
/// The days over which declined attempts are counted.
pub const TRIES_DAYS: i64 = 30;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(as = PaymentMethodStatus))]
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
    /// Starts of its declined attempts, oldest first, at most [`TRIES_PER_CARD`] within [`TRIES_DAYS`] of the newest.
    #[serde(default, skip_serializing_if = "Vec::is_empty", with = "milliseconds")]
    pub declined_at: Vec<Timestamp>,
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

    /// The same at an instant: neither gone nor refused too often.
    #[must_use]
    pub fn chargeable_at(&self, now: Timestamp) -> bool {
        let counts = |at: &&Timestamp| now.duration_since(**at) < tries_window();
        self.chargeable() && self.declined_at.iter().filter(counts).count() < TRIES_PER_CARD
    }

    /// The method with the new face its card got, and what changed; `None` when nothing did. A field the gateway does not
    /// say stays as it is. A renewed card expires later, so a face that expires earlier is an old event. What a decline said
    /// of the method stands until somebody registers a card.
    #[must_use]
    pub fn updated(&self, card: &MaskedCard) -> Option<(PaymentMethod, Fact)> {
        let face = MaskedCard {
            brand: card.brand.clone().or_else(|| self.card.brand.clone()),
            last4: card.last4.clone().or_else(|| self.card.last4.clone()),
            exp_month: card.exp_month.or(self.card.exp_month),
            exp_year: card.exp_year.or(self.card.exp_year),
        };
        let expires = |card: &MaskedCard| card.exp_year.zip(card.exp_month);
        if self.status == Status::Deleted || face == self.card || expires(&face) < expires(&self.card) {
            return None;
        }
        let fact = Fact::new("payment_method.updated", self.tenant_id.as_str())
            .with("methodId", self.id.as_str())
            .with("brand", face.brand.clone())
            .with("expMonth", face.exp_month)
            .with("expYear", face.exp_year)
            .with("numberChanged", face.last4 != self.card.last4);
        Some((PaymentMethod { card: face, ..self.clone() }, fact))
    }

    /// The method after an attempt on it that started at `started_at` was declined. Heard twice or out of order, the same.
    #[must_use]
    pub fn declined(&self, started_at: Timestamp) -> PaymentMethod {
        let mut declined_at = self.declined_at.clone();
        declined_at.push(started_at);
        declined_at.sort_unstable();
        declined_at.dedup();
        let newest = declined_at.last().copied().unwrap_or(started_at);
        declined_at.retain(|at| newest.duration_since(*at) < tries_window());
        let surplus = declined_at.len().saturating_sub(TRIES_PER_CARD);
        declined_at.drain(..surplus);
        PaymentMethod { declined_at, ..self.clone() }
    }
}

fn tries_window() -> SignedDuration {
    SignedDuration::from_hours(TRIES_DAYS.saturating_mul(24))
}

/// Instants as a list of milliseconds, which is what rows keep.
mod milliseconds {
    use jiff::Timestamp;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(instants: &[Timestamp], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(instants.iter().map(|at| at.as_millisecond()))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Timestamp>, D::Error> {
        let stored = Vec::<i64>::deserialize(deserializer)?;
        stored.into_iter().map(|at| Timestamp::from_millisecond(at).map_err(D::Error::custom)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{RequestId, ulid};
    use proptest::prelude::*;

    fn at(hour: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hour * 3_600).unwrap()
    }

    fn card() -> PaymentMethod {
        let sealed = || Sealed { kid: "k1".into(), data: "x".into() };
        PaymentMethod {
            id: MethodId::new(ulid(at(0), 1)),
            tenant_id: RequestId::new(ulid(at(0), 1)).tenant(),
            gateway: GatewayName::Toss,
            status: Status::Active,
            card: MaskedCard::default(),
            token: sealed(),
            customer: sealed(),
            holder_name: None,
            token_hash: "h".into(),
            created_at: at(0),
            declined_at: Vec::new(),
            version: 1,
        }
    }

    fn after(hours: &[i64]) -> PaymentMethod {
        hours.iter().fold(card(), |card, hour| card.declined(at(*hour)))
    }

    #[test]
    fn the_fifteenth_decline_in_thirty_days_is_the_last() {
        let hours: Vec<i64> = (0..15).map(|n| n * 24).collect();
        let almost = after(&hours[..14]);
        assert!(almost.chargeable_at(at(14 * 24)));
        let full = almost.declined(at(14 * 24));
        assert!(!full.chargeable_at(at(14 * 24 + 1)));
        assert!(full.chargeable(), "the card itself is not dead");
        assert!(!full.chargeable_at(at(30 * 24 - 1)));
        assert!(full.chargeable_at(at(30 * 24)), "the first one is thirty days ago");
        let dead = PaymentMethod { status: Status::Invalid, ..full };
        assert!(!dead.chargeable_at(at(900 * 24)));
    }

    #[test]
    fn a_renewed_card_shows_its_new_face_and_an_old_event_does_not() {
        let face = |last4: &str, year, month| MaskedCard {
            brand: Some("visa".into()),
            last4: Some(last4.into()),
            exp_month: Some(month),
            exp_year: Some(year),
        };
        let old = PaymentMethod { card: face("4242", 2026, 12), ..card() };
        let (new, fact) = old.updated(&face("1881", 2032, 3)).unwrap();
        assert_eq!(
            (new.card.clone(), new.status, new.token.clone()),
            (face("1881", 2032, 3), old.status, old.token.clone())
        );
        assert_eq!((fact.kind, &fact.changes["expYear"]), ("payment_method.updated", &2032.into()));
        assert_eq!(fact.changes["numberChanged"], true);
        assert!(!fact.changes.values().any(|v| v == "1881"), "the audit log needs no digits");
        assert_eq!(new.updated(&face("1881", 2032, 3)), None, "said before");
        assert_eq!(new.updated(&face("4242", 2026, 12)), None, "an older event that came later");
        assert_eq!(new.updated(&MaskedCard::default()), None, "says nothing");
        assert!(new.updated(&face("1881", 2032, 4)).is_some());
        let expiry_only = MaskedCard { exp_year: Some(2033), ..MaskedCard::default() };
        let (expiry, fact) = new.updated(&expiry_only).unwrap();
        assert_eq!((expiry.card, fact.changes["numberChanged"].clone()), (face("1881", 2033, 3), false.into()));
        for status in [Status::Invalid, Status::Suspect] {
            let (after, _) = PaymentMethod { status, ..old.clone() }.updated(&face("1881", 2032, 3)).unwrap();
            assert_eq!(after.status, status);
        }
        assert_eq!(PaymentMethod { status: Status::Deleted, ..old }.updated(&face("1881", 2032, 3)), None);
        assert!(card().updated(&face("1881", 2032, 3)).is_some(), "nothing was known of when it expires");
    }

    proptest! {
        #[test]
        fn declines_are_counted_once_in_any_order_and_bounded(
            mut hours in prop::collection::vec(0i64..2_000, 0..60), twice in any::<bool>(), seed in any::<u64>(),
        ) {
            let told = after(&hours);
            prop_assert!(told.declined_at.len() <= TRIES_PER_CARD);
            prop_assert!(told.declined_at.windows(2).all(|pair| pair[0] < pair[1]));
            let newest = hours.iter().max().copied().unwrap_or(0);
            if twice {
                hours.extend(hours.clone());
            }
            let by = usize::try_from(seed % 61).unwrap() % hours.len().max(1);
            hours.rotate_left(by);
            hours.reverse();
            prop_assert_eq!(&after(&hours), &told);
            hours.sort_unstable();
            hours.dedup();
            for later in [0, 1, 100, 500, 719, 720] {
                let within = hours.iter().filter(|h| newest + later - **h < 720).count();
                prop_assert_eq!(told.chargeable_at(at(newest + later)), within < TRIES_PER_CARD);
            }
        }

        #[test]
        fn the_stored_form_round_trips(hours in prop::collection::vec(0i64..600, 0..20)) {
            let card = after(&hours);
            let stored = serde_json::to_value(&card).unwrap();
            prop_assert_eq!(stored.get("declinedAt").is_some(), !hours.is_empty());
            prop_assert_eq!(serde_json::from_value::<PaymentMethod>(stored).unwrap(), card);
        }
    }
}
