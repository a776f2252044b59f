//! The tax document of an invoice: decided once by the rail of its payment, recorded, and issued where one is due.
//!
//! Invariants: the decision is recorded before the issuing service is asked, under our own number, so a crash between the
//! two issues the same document again and never another; asking again gives the same answer.

use domain::calendar::OutOfRange;
use domain::document::{Document, File};
use domain::invoice::InvoiceId;
use domain::tax::{TaxDocument, TaxStatus};

use super::{RACES, stamp};
use crate::ports::{Context, Random, TaxIssuer, TaxIssuerError, TaxOrder};
use crate::store::{Record, Store, StoreError, Write, typed};

#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("no such invoice")]
    NotFound,
    #[error(transparent)]
    Issuer(#[from] TaxIssuerError),
    #[error(transparent)]
    Calendar(#[from] OutOfRange),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides, records and issues. Without an issuer a document that is due stays pending for people to issue.
///
/// # Errors
/// When there is no such invoice, the service does not answer, or the store fails.
pub async fn issue(
    store: &dyn Store,
    random: &dyn Random,
    context: &Context,
    issuer: Option<&dyn TaxIssuer>,
    id: &InvoiceId,
) -> Result<File, IssueError> {
    for _ in 0..RACES {
        let file = typed::file(store, id).await?.ok_or(IssueError::NotFound)?;
        let (after, first) = match &file.tax {
            None => (TaxDocument::of(&file.invoice, context.now)?, true),
            Some(decided) => match ask(issuer, &file, decided).await? {
                Some(approval) => match decided.issued(approval, context.now) {
                    Some(issued) => (issued, false),
                    None => return Ok(file),
                },
                None => return Ok(file),
            },
        };
        let (fact, record) = (after.fact(), Record::Document(Document::Tax(after.clone())));
        let write = if first { Write::New(record) } else { Write::Replace(record) };
        match store.commit(&stamp::commit(random, context, vec![write], vec![fact])).await {
            Ok(()) if first && after.status == TaxStatus::Pending => {}
            Ok(()) => return Ok(File { tax: Some(after), ..file }),
            Err(StoreError::Conflict { .. }) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Err(StoreError::Conflict { key: None }.into())
}

/// The approval number of a document that is due; none when there is nothing to ask, or nobody.
async fn ask(
    issuer: Option<&dyn TaxIssuer>,
    file: &File,
    decided: &TaxDocument,
) -> Result<Option<String>, TaxIssuerError> {
    match (decided.status, issuer) {
        (TaxStatus::Pending, Some(issuer)) => {
            let order = TaxOrder { own_number: &decided.own_number, kind: decided.kind, invoice: &file.invoice };
            issuer.issue(&order).await.map(Some)
        }
        (TaxStatus::Pending, None) | (TaxStatus::NotRequired | TaxStatus::Issued, _) => Ok(None),
    }
}
