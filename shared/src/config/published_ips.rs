//! Addresses from which the gateways say they send events: data, with its source and date.
//!
//! They are no trust root. Stripe's events are signed; Toss's are not, and are read back. A list that is out of date refuses
//! real events, so look at the source before a deployment names one, and add what is new as plain addresses beside the name.

use std::net::{IpAddr, Ipv4Addr};

/// A published list.
pub struct Published {
    /// What a setting calls it.
    pub name: &'static str,
    pub source: &'static str,
    /// When it was read, civil date.
    pub read: &'static str,
    pub addresses: &'static [Ipv4Addr],
}

const fn ip(a: u8, b: u8, c: u8, d: u8) -> Ipv4Addr {
    Ipv4Addr::new(a, b, c, d)
}

/// The same list for test and live. Toss announced an addition for May 2026 without naming it where this was read.
const TOSS: [Ipv4Addr; 10] = [
    ip(13, 124, 18, 147),
    ip(13, 124, 108, 35),
    ip(3, 36, 173, 151),
    ip(3, 38, 81, 32),
    ip(115, 92, 221, 121),
    ip(115, 92, 221, 122),
    ip(115, 92, 221, 123),
    ip(115, 92, 221, 125),
    ip(115, 92, 221, 126),
    ip(115, 92, 221, 127),
];

/// From a mirror of Stripe's file that may lack its end: compare with the source before use.
const STRIPE: [Ipv4Addr; 15] = [
    ip(3, 18, 12, 63),
    ip(3, 69, 109, 8),
    ip(3, 120, 168, 93),
    ip(3, 130, 192, 231),
    ip(13, 235, 14, 237),
    ip(13, 235, 122, 149),
    ip(18, 211, 135, 69),
    ip(35, 154, 171, 200),
    ip(35, 157, 207, 129),
    ip(52, 15, 183, 38),
    ip(54, 88, 130, 119),
    ip(54, 88, 130, 237),
    ip(54, 187, 174, 169),
    ip(54, 187, 205, 235),
    ip(54, 187, 216, 72),
];

pub const LISTS: [Published; 2] = [
    Published {
        name: "toss",
        source: "https://docs.tosspayments.com/guides/v2/get-started/environment",
        read: "2026-11-22",
        addresses: &TOSS,
    },
    Published {
        name: "stripe",
        source: "https://stripe.com/files/ips/ips_webhooks.txt",
        read: "2026-11-22",
        addresses: &STRIPE,
    },
];

/// The addresses a name stands for: one gateway's list, or all of them as `published`.
pub(super) fn named(name: &str) -> Option<Vec<IpAddr>> {
    let lists: Vec<&Published> = LISTS.iter().filter(|list| name == "published" || name == list.name).collect();
    let addresses = lists.iter().flat_map(|list| list.addresses).map(|ip| IpAddr::V4(*ip));
    (!lists.is_empty()).then(|| addresses.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_list_has_a_source_a_date_and_distinct_public_addresses() {
        for list in &LISTS {
            assert!(list.source.starts_with("https://") && list.read.parse::<jiff::civil::Date>().is_ok());
            let distinct: BTreeSet<_> = list.addresses.iter().collect();
            assert_eq!(distinct.len(), list.addresses.len(), "{}", list.name);
            assert!(list.addresses.iter().all(|ip| !ip.is_private() && !ip.is_loopback()));
        }
    }

    #[test]
    fn names_stand_for_lists() {
        assert_eq!(named("toss").unwrap().len(), TOSS.len());
        assert_eq!(named("published").unwrap().len(), TOSS.len() + STRIPE.len());
        assert_eq!((named("paypal"), named("")), (None, None));
    }
}
