//! `POST /onboarding/requests`: a business applies.
//!
//! May touch: reads `plan` and `control` (time travel); writes `onboarding_request`, `ops_audit_log`, `idempotency`;
//! secret `auth/jwt`.
use shared::api::SubmittedBody;
use shared::api::requests::{SubmitApplication, SubmitContact};
use std::sync::Arc;

use domain::contact::Contact;
use domain::event::Actor;
use domain::ids::RequestId;
use domain::onboarding::{Application, CheckItem};
use functions::{SystemRandom, wall};
use secrecy::ExposeSecret;
use serde_json::json;
use shared::auth::token::APPLICATION;
use shared::auth::{Caller, Tokens};
use shared::config::Env;
use shared::ports::{Clock, Context, Random};
use shared::store::{Store, typed};
use shared::usecase::submit_application::{Form, submit};
use shared::web::idempotency::{Started, begin};
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    tokens: Tokens,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    let random = Arc::clone(&env.random);
    serve(App { store: env.store(), clock: env.clock(), random, tokens: env.tokens() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    let form = form(request.json()?);
    let now = app.clock.now().await;
    let application = match begin(app.store.as_ref(), &request, "public", "submit_application", now).await? {
        Started::Replay(result) => {
            let id =
                result.get("id").and_then(|id| RequestId::parse(id.as_str()?).ok()).ok_or_else(ApiError::not_found)?;
            typed::application(app.store.as_ref(), &id).await?.ok_or_else(ApiError::not_found)?
        }
        Started::New(claim) => {
            let context = Context { now, actor: Actor::Applicant("new".to_owned()) };
            let also = |a: &Application| claim.write(json!({ "id": a.id.as_str() })).into_iter().collect();
            submit(app.store.as_ref(), app.random.as_ref(), &context, form, also).await?
        }
    };
    answer(app, &application).await
}

/// The credential is minted anew each time; only ids are stored.
async fn answer(app: &App, application: &Application) -> Result<Reply, ApiError> {
    let token = app.tokens.mint(&Caller::applicant(&application.id), wall(), APPLICATION).await?;
    let body = SubmittedBody {
        id: application.id.as_str(),
        tenant_id: application.tenant_id().to_string(),
        status: application.status,
        application_token: token.token.expose_secret(),
        customer_key: &application.customer_key,
        next_action: application.next_action(None),
    };
    Reply::json(201, &body)
}

fn form(input: SubmitApplication) -> Form {
    let SubmitContact { name, email, phone } = input.contact;
    Form {
        business_name: input.business_name,
        business_number: input.business_number,
        category: input.category,
        region: input.region,
        contact: Contact { name, email, phone },
        plan_code: input.plan_code,
        addon_codes: input.addon_codes,
        note: input.note,
        checklist: input.checklist.into_iter().map(|c| CheckItem { item: c.item, checked: c.checked }).collect(),
        consents: [input.consents.terms, input.consents.privacy, input.consents.recurring],
    }
}
