//! Typed identifiers. Each is a prefix and a 26-character ULID; an id that parses is well formed, and one kind
//! never passes for another.
//!
//! A tenant and a subscription reuse the ULID of the application they come from, so a repeated approval or
//! creation finds the same row instead of making a second one.

use serde::{Deserialize, Serialize};
use ulid::Ulid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed id")]
pub struct MalformedId;

/// Makes a ULID from an instant (milliseconds are kept) and 80 random bits handed in by the caller.
#[must_use]
pub fn ulid(at: jiff::Timestamp, random: u128) -> Ulid {
    Ulid::from_parts(u64::try_from(at.as_millisecond()).unwrap_or(0), random)
}

/// 128 bits spelled as a ULID: 26 characters of Crockford's base 32. For tokens, where the time part means nothing.
#[must_use]
pub fn ulid_of(bits: u128) -> String {
    Ulid(bits).to_string()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            #[must_use]
            pub fn new(ulid: Ulid) -> Self {
                $name(format!(concat!($prefix, "_{}"), ulid))
            }

            /// # Errors
            /// When the text is not this prefix followed by a ULID in its canonical spelling.
            pub fn parse(text: &str) -> Result<Self, MalformedId> {
                let tail = text.strip_prefix(concat!($prefix, "_")).ok_or(MalformedId)?;
                let ulid = Ulid::from_string(tail).map_err(|_| MalformedId)?;
                let id = $name::new(ulid);
                (id.0 == text).then_some(id).ok_or(MalformedId)
            }

            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The ULID part, without the prefix.
            #[must_use]
            pub fn ulid(&self) -> &str {
                self.0.split_once('_').map_or("", |(_, tail)| tail)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = MalformedId;
            fn try_from(text: String) -> Result<Self, MalformedId> {
                $name::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

id!(
    /// An application to become a tenant.
    RequestId, "req"
);
id!(TenantId, "ten");
id!(MethodId, "mth");
id!(SubscriptionId, "sub");
id!(RunId, "run");
id!(
    /// A request to be shown the product; sorts by time.
    DemoId, "demo"
);
id!(
    /// A refund. It is part of the gateway's idempotency key, so one id is one refund for ever.
    RefundId, "rf"
);
id!(
    /// An event of the audit log; sorts by time.
    EventId, "evt"
);

impl RequestId {
    /// The tenant this application becomes, known from the start so that a card can be registered under it.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        TenantId(format!("ten_{}", self.ulid()))
    }

    /// The one subscription of this application.
    #[must_use]
    pub fn subscription(&self) -> SubscriptionId {
        SubscriptionId(format!("sub_{}", self.ulid()))
    }
}

impl EventId {
    /// The UTC day of its time part: the day of the audit log it belongs to, whenever its commit landed.
    #[must_use]
    pub fn day(&self) -> jiff::civil::Date {
        let ms = Ulid::from_string(self.ulid()).map_or(0, |ulid| ulid.timestamp_ms());
        let at = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        at.unwrap_or(jiff::Timestamp::MAX).to_zoned(jiff::tz::TimeZone::UTC).date()
    }
}

impl MethodId {
    /// The id of a method named by a hash, so that registering the same card token again finds the same row.
    #[must_use]
    pub fn of_hash(bits: u128) -> Self {
        MethodId::new(Ulid(bits))
    }
}

impl RefundId {
    /// The id of a refund that something else names: a payment that is owed back, or a refund made in the gateway's own
    /// console. Whoever sees it first writes the same row (FNV-1a, 128 bits; stored ids depend on it).
    #[must_use]
    pub fn named(text: &str) -> Self {
        const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013B;
        let step = |h: u128, b: u8| (h ^ u128::from(b)).wrapping_mul(PRIME);
        RefundId::new(Ulid(text.bytes().fold(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d, step)))
    }
}

impl SubscriptionId {
    /// The application this subscription came from.
    #[must_use]
    pub fn request(&self) -> RequestId {
        RequestId(format!("req_{}", self.ulid()))
    }
}

impl TenantId {
    /// The application this tenant came from.
    #[must_use]
    pub fn request(&self) -> RequestId {
        RequestId(format!("req_{}", self.ulid()))
    }
}

/// A stable 32-bit hash (FNV-1a) for spreading ids over index partitions. Stored keys depend on it: never change.
#[must_use]
pub fn spread(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |h, b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_never_passes_for_another() {
        let id = RequestId::new(ulid("2026-11-22T00:00:00Z".parse().unwrap(), 7));
        assert_eq!(RequestId::parse(id.as_str()), Ok(id.clone()));
        assert!(TenantId::parse(id.as_str()).is_err());
        assert_eq!(id.tenant().request(), id);
        assert_eq!(id.subscription().request(), id);
        for bad in ["", "req_", "req_xyz", "req_01ARZ3NDEKTSV4RRFFQ69G5FAU0", &id.as_str().to_lowercase()] {
            assert!(RequestId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn refund_ids_are_pinned() {
        // The published vectors of FNV-1a 128: the empty text and "a".
        assert_eq!(RefundId::named(""), RefundId::new(Ulid(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)));
        assert_eq!(RefundId::named("a"), RefundId::new(Ulid(0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964)));
    }

    #[test]
    fn spread_is_pinned() {
        assert_eq!(spread(""), 0x811c_9dc5);
        assert_eq!(spread("a"), 0xe40c_292c);
    }
}
