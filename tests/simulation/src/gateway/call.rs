//! One charge call: the caller's side with its time-outs and dead connections, and the server's side, which goes on
//! whatever becomes of the caller.

use std::sync::Arc;
use std::time::Duration;

use domain::charge::{Answer, Capture, Decline, DeclineClass, GatewayName, Heard};
use secrecy::ExposeSecret;
use shared::gateway::{Charge, RATE_LIMITED, REQUEST_VERSION};
use tokio::sync::oneshot;

use super::{Arrival, Fate, Line, Request, unknown};
use crate::books::{Payment, Refusal, Sent};
use crate::clock::{DAY, MINUTE, SECOND, sleep};
use crate::mail::Hook;
use crate::sim::Sim;
use crate::trace::{Step, Who};
use crate::weather::{Down, Kind};

/// The caller's limit for one call.
const PATIENCE: Duration = Duration::from_secs(65);
/// A connection nobody looked at for longer is dead.
const CONNECTION: i64 = 5 * MINUTE;

/// How a request travels.
struct Route {
    lost: bool,
    /// Milliseconds under way.
    uplink: i64,
    processing: i64,
    answer_lost: bool,
    limited: bool,
    /// By a part of the gateway that has not heard of the key yet.
    key_refused: bool,
    fate: Fate,
}

impl Route {
    fn drawn(sim: &Sim, who: Who) -> Route {
        let strikes = |kind| sim.strikes(kind, who);
        let late = strikes(Kind::LateEffect);
        let mut route = Route {
            lost: strikes(Kind::RequestLost),
            uplink: if strikes(Kind::RequestStuck) { sim.rng.range(MINUTE, 10 * MINUTE) } else { sim.rng.range(5, 80) },
            processing: if late { sim.rng.range(MINUTE, 40 * MINUTE) } else { latency(sim) },
            answer_lost: strikes(Kind::AnswerLost),
            limited: strikes(Kind::Limited),
            key_refused: strikes(Kind::KeyRefusedOnce),
            fate: if strikes(Kind::ErrorBefore) {
                Fate::ErrorBefore
            } else if strikes(Kind::ErrorAfter) {
                Fate::ErrorAfter
            } else if strikes(Kind::ErrorThenEffect) {
                Fate::ErrorThenEffect
            } else if strikes(Kind::ErrorUnstored) {
                Fate::ErrorUnstored
            } else if strikes(Kind::Refusal) {
                Fate::Refusal
            } else if strikes(Kind::WrongAmount) {
                Fate::Mistake
            } else {
                Fate::Plain
            },
        };
        if route.fate == Fate::ErrorThenEffect {
            route.processing = sim.rng.range(MINUTE, 40 * MINUTE);
        }
        route
    }
}

/// Half within 0.8 s, one in a hundred above 6 s.
fn latency(sim: &Sim) -> i64 {
    match sim.rng.below(100) {
        0..=49 => sim.rng.range(150, 800),
        50..=89 => sim.rng.range(800, 2_500),
        90..=98 => sim.rng.range(2_500, 6_000),
        _ => sim.rng.range(6 * SECOND, 30 * SECOND),
    }
}

impl Line {
    pub(super) async fn call(&self, charge: &Charge<'_>) -> Answer {
        let silence =
            || Answer::Unknown { heard: Heard::Nothing, code: None, intent: charge.intent.map(str::to_owned) };
        if charge.request_version != REQUEST_VERSION {
            return unknown(Heard::Nothing, "request_version_gone");
        }
        if !self.sim.gateways.keys(self.name).lock().unwrap().offered().iter().any(|v| v == charge.key_version) {
            return unknown(Heard::Nothing, "key_version_gone");
        }
        // Connecting. A process frozen here goes on with a connection that may be dead by then.
        let begun = self.sim.now();
        sleep(self.sim.rng.range(1, 20)).await;
        if self.sim.now() - begun > CONNECTION {
            return silence();
        }
        let Some(request) = self.arrives(charge) else { return silence() };
        let route = Route::drawn(&self.sim, request.who);
        let (who, index) = (request.who, request.index);
        let (answer_lost, lost) = (route.answer_lost, route.lost);
        let (tell, told) = oneshot::channel();
        if lost {
            sleep(65 * SECOND).await;
            return silence();
        }
        tokio::spawn(serve(Arc::clone(&self.sim), self.name, request, route, tell));
        let heard = tokio::time::timeout(PATIENCE, async {
            let (answer, at) = told.await.ok()?;
            if answer_lost {
                std::future::pending::<()>().await;
            }
            // A frozen caller finds its connection dead, or the answer still in the buffer.
            let late = self.sim.now() - at > MINUTE && self.sim.rng.below(2) == 0;
            (!late).then_some(answer)
        });
        let answer = heard.await.ok().flatten().unwrap_or_else(silence);
        if matches!(answer, Answer::Refused { .. }) && self.sim.strikes(Kind::AnswerHeld, who) {
            self.sim.hold(self.process, charge.idempotency_key);
            tokio::task::yield_now().await;
        }
        let name = self.name;
        self.sim.say(&spoken(&answer), |what| Step::Answered { gateway: name, who, index, what });
        answer
    }

    /// The request leaves: from here on it may be executed.
    fn arrives(&self, charge: &Charge<'_>) -> Option<Request> {
        let version = charge.request_version - u16::from(self.old_code);
        let sent = Sent {
            order_id: charge.order_id.to_owned(),
            amount: charge.amount,
            order_name: charge.order_name.to_owned(),
            token: charge.token.expose_secret().to_owned(),
            customer: charge.customer.expose_secret().to_owned(),
            key_version: charge.key_version.to_owned(),
            request_version: version,
            intent: charge.intent.map(str::to_owned),
        };
        let (token, customer) = (sent.token.clone(), sent.customer.clone());
        let now = self.sim.now();
        let named = self.sim.books.lock().unwrap().asked(self.name, charge.idempotency_key, sent, now)?;
        self.sim.sent(charge.idempotency_key);
        let step = Step::Asked {
            gateway: self.name,
            who: named.who,
            index: named.index,
            n: named.n,
            amount: charge.amount.amount,
        };
        self.sim.step(step);
        Some(Request {
            who: named.who,
            index: named.index,
            n: named.n,
            key: charge.idempotency_key.to_owned(),
            order_id: charge.order_id.to_owned(),
            amount: charge.amount,
            token,
            customer,
            key_version: charge.key_version.to_owned(),
            intent: charge.intent.map(str::to_owned),
        })
    }
}

/// The server's side of one request.
async fn serve(
    sim: Arc<Sim>,
    gateway: GatewayName,
    request: Request,
    route: Route,
    tell: oneshot::Sender<(Answer, i64)>,
) {
    sleep(route.uplink).await;
    let down = sim.weather.lock().unwrap().down(gateway, sim.now());
    let answer = match down {
        Some(Down::Refuses) => return,
        Some(Down::Silent) => return sleep(2 * MINUTE).await,
        Some(Down::Errors) => unknown(Heard::Error, "unavailable"),
        Some(Down::RefusesKeys) => Answer::Refused { code: "UNAUTHORIZED_KEY".to_owned() },
        None if !sim.gateways.keys(gateway).lock().unwrap().accepts(&request.key_version, sim.now()) => {
            Answer::Refused { code: "EXPIRED_KEY".to_owned() }
        }
        None if route.key_refused => Answer::Refused { code: "UNAUTHORIZED_KEY".to_owned() },
        None if route.limited => unknown(Heard::Refusal, RATE_LIMITED),
        None => match arrive(&sim, gateway, &request, route.fate) {
            Arrival::Answered(answer) => answer,
            Arrival::Runs if route.fate == Fate::ErrorThenEffect => {
                let (sim, processing) = (Arc::clone(&sim), route.processing);
                tokio::spawn(async move {
                    sleep(processing).await;
                    finish(&sim, gateway, &request, route.fate);
                });
                unknown(Heard::Error, "internal error")
            }
            Arrival::Runs => {
                sleep(route.processing).await;
                finish(&sim, gateway, &request, route.fate)
            }
        },
    };
    // The way back takes longer than the quickest webhook.
    sleep(sim.rng.range(5, 50)).await;
    let _ = tell.send((answer, sim.now()));
}

fn arrive(sim: &Sim, gateway: GatewayName, request: &Request, fate: Fate) -> Arrival {
    let now = sim.now();
    match gateway {
        GatewayName::Toss => sim.gateways.toss.lock().unwrap().arrive(request, now),
        GatewayName::Stripe => sim.gateways.stripe.lock().unwrap().arrive(request, fate, now),
    }
}

fn finish(sim: &Arc<Sim>, gateway: GatewayName, request: &Request, fate: Fate) -> Answer {
    let now = sim.now();
    let mut request = request.clone();
    let asked = request.clone();
    if fate == Fate::Mistake {
        request.amount.amount += 1_000;
    }
    let (request, fate) = (&request, if fate == Fate::Mistake { Fate::Plain } else { fate });
    let verdict = sim.gateways.bank.lock().unwrap().verdict(&request.token, now, &sim.rng);
    let (answer, moved) = match gateway {
        GatewayName::Toss => sim.gateways.toss.lock().unwrap().finish(request, fate, verdict, now, &sim.rng),
        GatewayName::Stripe => sim.gateways.stripe.lock().unwrap().finish(request, fate, verdict, now),
    };
    match moved {
        Some(Moved::Captured(capture)) => {
            let hook = captured(sim, gateway, &asked, capture);
            sim.tell(asked.who, hook);
        }
        Some(Moved::Declined(decline)) => {
            completed_later(sim, &asked, &decline);
            declined(sim, gateway, &asked, decline);
        }
        None => {}
    }
    answer
}

/// What a request did to money, whatever its answer says.
pub enum Moved {
    Captured(Capture),
    Declined(Decline),
}

/// Money moves. Returns the event that tells of it.
fn captured(sim: &Sim, gateway: GatewayName, request: &Request, capture: Capture) -> Option<Hook> {
    let (who, index) = (request.who, request.index);
    sim.step(Step::Captured { gateway, who, index, amount: capture.amount.amount });
    sim.books.lock().unwrap().captured(Payment {
        at: sim.now(),
        gateway,
        who,
        index,
        n: request.n,
        payment_id: capture.payment_id.clone(),
        charge_id: capture.charge_id.clone(),
        amount: capture.amount,
        odd: capture.amount != request.amount,
    });
    sim.wake.notify_one();
    let event = capture.charge_id.clone().unwrap_or_else(|| capture.payment_id.clone());
    Hook::payment(gateway, &event, &request.order_id, Answer::Captured(capture))
}

/// Some payers complete what was declined by themselves, hours or days later, if it is still open then.
fn completed_later(sim: &Arc<Sim>, request: &Request, decline: &Decline) {
    let Some(intent) = decline.intent.clone() else { return };
    if !sim.likely(Kind::PayerCompletes) {
        return;
    }
    let (sim, request) = (Arc::clone(sim), request.clone());
    let wait = sim.rng.range(MINUTE, 3 * DAY);
    tokio::spawn(async move {
        sleep(wait).await;
        if sim.calm() {
            return;
        }
        let capture = sim.gateways.stripe.lock().unwrap().completed_by_payer(&intent);
        if let Some(capture) = capture {
            sim.count(Kind::PayerCompletes, request.who);
            let hook = captured(&sim, GatewayName::Stripe, &request, capture);
            sim.tell_in_the_end(request.who, hook);
        }
    });
}

fn declined(sim: &Sim, gateway: GatewayName, request: &Request, decline: Decline) {
    let (who, index) = (request.who, request.index);
    sim.step(Step::Declined { gateway, who, index });
    sim.count(
        match decline.class {
            DeclineClass::Soft => Kind::SoftDecline,
            DeclineClass::Hard => Kind::HardDecline,
            DeclineClass::Auth => Kind::AuthDecline,
        },
        who,
    );
    let refusal = Refusal { at: sim.now(), who, index, n: request.n, class: decline.class };
    sim.books.lock().unwrap().refusals.push(refusal);
    let event = decline.charge_id.clone().unwrap_or_else(|| request.order_id.clone());
    sim.tell(who, Hook::payment(gateway, &event, &request.order_id, Answer::Declined(decline)));
}

/// An answer in one word or two, for the trace.
pub(super) fn spoken(answer: &Answer) -> String {
    match answer {
        Answer::Captured(_) => "captured".to_owned(),
        Answer::Declined(decline) => format!("declined {:?}", decline.class),
        Answer::Refused { code } => format!("refused {code}"),
        Answer::Unknown { heard, code, .. } => format!("unknown {heard:?} {}", code.as_deref().unwrap_or("")),
    }
}
