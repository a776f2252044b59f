//! A stand-in for the service that issues tax documents, with that service's contract: our own number names a document,
//! issuing it again is the same document, and another document under the same number is refused. It records what it was
//! asked; nothing reaches the tax office. Never in prod (`config`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use domain::tax::TaxKind;
use sha2::{Digest, Sha256};

use crate::ports::{TaxIssuer, TaxIssuerError, TaxOrder};

/// Characters an issuing service takes for our own number (facts/billing-practice.md, [KR-12]).
const NUMBER_MAX: usize = 24;

/// What was issued under a number: enough to tell another document from the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    pub kind: TaxKind,
    pub invoice: String,
    pub total: i64,
    pub approval: String,
}

#[derive(Default)]
pub struct TaxSandbox {
    issued: Mutex<BTreeMap<String, Issued>>,
}

impl TaxSandbox {
    /// Every document issued, by our own number.
    #[must_use]
    pub fn issued(&self) -> BTreeMap<String, Issued> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl TaxIssuer for TaxSandbox {
    async fn issue(&self, order: &TaxOrder<'_>) -> Result<String, TaxIssuerError> {
        if order.own_number.is_empty() || order.own_number.len() > NUMBER_MAX || order.kind == TaxKind::CardSlip {
            return Err(TaxIssuerError::Refused);
        }
        // An approval number looks like the tax office's and follows from ours, so that a restarted sandbox says the same.
        let hash = hex::encode(&Sha256::digest(order.own_number.as_bytes())[..8]);
        let day = order.invoice.payment.on.strftime("%Y%m%d");
        let issued = Issued {
            kind: order.kind,
            invoice: order.invoice.id.to_string(),
            total: order.invoice.total,
            approval: format!("{day}-{}-{}", &hash[..8], &hash[8..]),
        };
        let mut all = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(order.own_number.to_owned()).or_insert_with(|| issued.clone());
        if *known == issued { Ok(issued.approval) } else { Err(TaxIssuerError::Refused) }
    }
}
