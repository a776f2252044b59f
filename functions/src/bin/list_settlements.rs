//! `GET /ops/settlements?gateway=&day=`: what a gateway listed on a Seoul day and what the books say to it; with
//! `Accept: text/csv` as a sheet, whose next part, if there is one, starts at `x-next-cursor`.
//!
//! May touch: reads `settlement`.
use std::sync::Arc;

use domain::charge::GatewayName;
use functions::{SystemRandom, wall};
use shared::api::settlements::{SettlementBody, sheet};
use shared::auth::permissions::Route;
use shared::config::Env;
use shared::store::Store;
use shared::usecase::settlement_report;
use shared::web::{ApiError, Reply, Request, serve};

struct App {
    store: Arc<dyn Store>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), lambda_http::Error> {
    let env = Env::init(wall, Arc::new(SystemRandom))?;
    serve(App { store: env.store() }, handle).await
}

async fn handle(app: &App, request: Request) -> Result<Reply, ApiError> {
    request.caller(Route::ListSettlements)?;
    let store = app.store.as_ref();
    let gateway = request.query_parsed("gateway", GatewayName::parse)?;
    let gateway = gateway.ok_or_else(|| ApiError::invalid_field("gateway", "required", "toss or stripe"))?;
    let day = request
        .query_date("day")?
        .ok_or_else(|| ApiError::invalid_field("day", "required", "must be like 2027-01-31"))?;
    let page = request.page()?;
    if request.header("accept").is_some_and(|accept| accept.contains("text/csv")) {
        let (rows, next) = settlement_report::sheet(store, gateway, day, page.cursor.as_deref()).await?;
        let name = format!("settlement-{}-{day}.csv", gateway.as_str());
        return Ok(Reply::sheet(&name, sheet(&rows), next.as_deref()));
    }
    let (rows, next) = settlement_report::page(store, gateway, day, page.limit, page.cursor.as_deref()).await?;
    let totals = settlement_report::totals(store, gateway, day).await?;
    Reply::json(200, &SettlementBody::new(gateway, day, &rows, &totals, next))
}
