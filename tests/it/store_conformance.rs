//! The conformance suite: the same checks on the store in memory, on an embedded DynamoDB emulator and, with
//! `CONFORMANCE=stack`, on the tables of a deployed stack (`AWS_ENDPOINT_URL`, `STAGE`).

use aws_credential_types::Credentials;
use aws_sdk_dynamodb::Client;
use shared::store::{DynamoStore, MemoryStore};

use crate::store_tables::{STAGE, config, embedded};
use crate::{store_checks as rows, store_document_checks as documents, store_list_checks as lists};

/// The stack under test, when this run has one.
fn stack() -> Option<DynamoStore> {
    #[expect(clippy::disallowed_methods, reason = "chooses what to test")]
    let variable = |name: &str| std::env::var(name).ok();
    if variable("CONFORMANCE").as_deref() != Some("stack") {
        return None;
    }
    let url = variable("AWS_ENDPOINT_URL").expect("CONFORMANCE=stack needs AWS_ENDPOINT_URL");
    let stage = variable("STAGE").expect("CONFORMANCE=stack needs STAGE");
    let mut config = config(&url);
    if let (Some(key), Some(secret)) = (variable("AWS_ACCESS_KEY_ID"), variable("AWS_SECRET_ACCESS_KEY")) {
        // The key names the account, where an emulator keeps several apart.
        config = config.credentials_provider(Credentials::from_keys(key, secret, None));
    }
    Some(DynamoStore::new(Client::from_conf(config.build()), stage))
}

macro_rules! conformance {
    ($($suite:ident::$check:ident),+ $(,)?) => {
        mod memory {
            use super::*;
            $(
                #[tokio::test]
                async fn $check() {
                    $suite::$check(&MemoryStore::new()).await;
                }
            )+
        }

        mod embedded_emulator {
            use super::*;
            $(
                #[tokio::test]
                async fn $check() {
                    let client = Client::from_conf(config(&embedded().await).build());
                    $suite::$check(&DynamoStore::new(client, STAGE)).await;
                }
            )+
        }

        /// One test, because without a stack it checks nothing.
        #[tokio::test]
        async fn deployed_stack_when_there_is_one() {
            if let Some(store) = stack() {
                $($suite::$check(&store).await;)+
            }
        }
    };
}

conformance!(
    rows::every_kind_reads_back,
    rows::what_was_never_written_is_absent,
    rows::an_insert_demands_absence,
    rows::a_replace_demands_the_version_read,
    rows::a_commit_is_all_or_nothing,
    rows::a_conflict_names_its_row,
    rows::a_repeated_commit_is_recognised,
    rows::somebody_elses_write_is_not_ours,
    rows::one_of_many_writers_wins,
    rows::too_much_is_refused,
    rows::nonsense_is_refused,
    rows::events_are_found_by_id_and_never_change,
    rows::many_rows_come_in_the_order_of_their_keys,
    lists::two_hundred_and_fifty_rows_come_in_three_pages,
    lists::cursors_serve_their_own_query_only,
    lists::the_due_index_is_ordered_and_sparse,
    lists::the_index_of_refunds_holds_what_waits_and_nothing_else,
    lists::subscriptions_by_tenant_and_status,
    lists::applications_by_status_oldest_first,
    lists::methods_by_tenant_and_token,
    lists::cycles_in_period_order,
    lists::plan_versions_newest_first_and_on_sale,
    lists::runs_newest_first,
    lists::events_below_one_newest_first,
    lists::seals_newest_first_and_marks_by_day,
    lists::demo_requests_newest_first_and_never_changed,
    lists::limits_are_bounded,
    documents::documents_read_back_and_lie_beside_their_invoice,
    documents::what_is_final_is_never_replaced,
    documents::invoices_of_a_tenant_newest_first,
    documents::postings_of_a_month_by_day,
    documents::settlements_of_a_day_are_kept_apart_and_change_bucket,
    documents::books_read_back_and_a_close_is_never_replaced,
);
