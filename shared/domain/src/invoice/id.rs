//! Ids of documents. They derive from what the document is about, so that writing it again finds it.

use serde::{Deserialize, Serialize};

use crate::charge::Billable;
use crate::ids::MalformedId;

macro_rules! text_id {
    ($name:ident) => {
        impl $name {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
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

/// `inv_<ulid of the subscription>-<index>-<seq>`: the invoice of one billable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InvoiceId(String);

text_id!(InvoiceId);

impl InvoiceId {
    #[must_use]
    pub fn of(billable: &Billable) -> InvoiceId {
        InvoiceId(format!("inv_{}-{}-{}", billable.subscription.ulid(), billable.index, billable.seq))
    }

    /// # Errors
    /// When the text is not spelled as [`InvoiceId::of`] spells it.
    pub fn parse(text: &str) -> Result<InvoiceId, MalformedId> {
        let named = text.strip_prefix("inv_").and_then(Billable::parse_order_id);
        match named {
            Some((billable, None)) => Ok(InvoiceId::of(&billable)),
            Some((_, Some(_))) | None => Err(MalformedId),
        }
    }

    /// What it is the invoice of.
    #[must_use]
    pub fn billable(&self) -> Option<Billable> {
        self.0.strip_prefix("inv_").and_then(Billable::parse_order_id).map(|(billable, _)| billable)
    }
}

/// `crn_<refund id>`: the credit note of one refund.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CreditNoteId(String);

text_id!(CreditNoteId);

impl CreditNoteId {
    /// # Errors
    /// When the refund's id is not 1 to 100 letters, digits, `_`, `-`, `.` or `:`. A refund made in a gateway's console
    /// carries that gateway's own id.
    pub fn of(refund_id: &str) -> Result<CreditNoteId, MalformedId> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-.:".contains(&b);
        if !(1..=100).contains(&refund_id.len()) || !refund_id.bytes().all(fits) {
            return Err(MalformedId);
        }
        Ok(CreditNoteId(format!("crn_{refund_id}")))
    }

    /// # Errors
    /// When the text is not `crn_` and a refund's id.
    pub fn parse(text: &str) -> Result<CreditNoteId, MalformedId> {
        CreditNoteId::of(text.strip_prefix("crn_").ok_or(MalformedId)?)
    }
}

/// `dbn_<refund id>`: the debit note of one refund that came back.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DebitNoteId(String);

text_id!(DebitNoteId);

impl DebitNoteId {
    /// # Errors
    /// As [`CreditNoteId::of`].
    pub fn of(refund_id: &str) -> Result<DebitNoteId, MalformedId> {
        CreditNoteId::of(refund_id).map(|_| DebitNoteId(format!("dbn_{refund_id}")))
    }

    /// # Errors
    /// When the text is not `dbn_` and a refund's id.
    pub fn parse(text: &str) -> Result<DebitNoteId, MalformedId> {
        DebitNoteId::of(text.strip_prefix("dbn_").ok_or(MalformedId)?)
    }
}
