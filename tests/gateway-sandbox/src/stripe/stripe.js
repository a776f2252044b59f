// Stand-in for Stripe.js of the sandbox: a picker of test cards instead of card fields, and a confirmSetup and
// confirmPayment that call the sandbox. No card number is ever asked for.
(() => {
  "use strict";
  const BASE = new URL("..", document.currentScript.src).href.replace(/\/$/, "");
  const CARDS = [
    ["pm_card_visa", "Visa, works"],
    ["pm_card_mastercard", "Mastercard, works"],
    ["pm_card_jcb", "JCB, works"],
    ["pm_card_visa_chargeDeclined", "Refused when saved"],
    ["pm_card_visa_chargeDeclinedInsufficientFunds", "Refused when saved: no funds"],
    ["pm_card_chargeDeclinedExpiredCard", "Refused when saved: expired"],
    ["pm_card_chargeCustomerFail", "Saved, refused when charged"],
    ["pm_card_authenticationRequiredOnSetup", "Authenticates when saved"],
    ["pm_card_authenticationRequired", "Authenticates at every payment"],
    ["pm_card_authenticationRequiredChargeDeclinedInsufficientFunds", "Saved, no funds when charged"],
  ];

  async function call(path, body) {
    const answer = await fetch(`${BASE}/__sandbox/stripe/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    return answer.json();
  }

  function picker() {
    const box = document.createElement("fieldset");
    const card = document.createElement("select");
    card.name = "sandbox-card";
    card.setAttribute("aria-label", "Test card");
    for (const [id, text] of CARDS) card.append(new Option(text, id));
    const pass = document.createElement("input");
    pass.type = "checkbox";
    pass.name = "sandbox-authenticate";
    pass.checked = true;
    const label = document.createElement("label");
    label.append(pass, " pass authentication if asked");
    box.append(card, label);
    return { box, card, pass };
  }

  function makeElements(options) {
    if ("paymentMethodTypes" in options) throw new Error("elements(): use allowedPaymentMethodTypes");
    let made = null;
    const ui = picker();
    const listeners = {};
    const fire = (name, detail) => (listeners[name] || []).forEach((listener) => listener(detail));
    ui.card.addEventListener("change", () => fire("change", { complete: true, empty: false }));
    const element = {
      mount(where) {
        const home = typeof where === "string" ? document.querySelector(where) : where;
        if (!home) throw new Error(`mount(): nothing matches ${where}`);
        home.replaceChildren(ui.box);
        queueMicrotask(() => {
          fire("ready", {});
          fire("change", { complete: true, empty: false });
        });
      },
      on(name, listener) { (listeners[name] ||= []).push(listener); return element; },
      off(name) { delete listeners[name]; return element; },
      update() {},
      focus() { ui.card.focus(); },
      blur() { ui.card.blur(); },
      clear() {},
      unmount() { ui.box.remove(); },
      destroy() { ui.box.remove(); made = null; },
    };
    return {
      create(type) { made = type; return element; },
      getElement(type) { return made === type ? element : null; },
      update(more) { Object.assign(options, more); },
      fetchUpdates: async () => ({}),
      submit: async () => ({ selectedPaymentMethod: "card" }),
      sandbox: { options, ui },
    };
  }

  /** The error an answer holds, or the object itself; then the redirect Stripe.js would make. */
  function finish(kind, answer, { redirect = "always", confirmParams = {} }) {
    if (answer.error) return { error: answer.error };
    if (redirect !== "if_required" && confirmParams.return_url) {
      const back = new URL(confirmParams.return_url, location.href);
      const name = kind === "setupIntent" ? "setup_intent" : "payment_intent";
      back.searchParams.set(name, answer.id);
      back.searchParams.set(`${name}_client_secret`, answer.client_secret);
      back.searchParams.set("redirect_status", answer.status === "succeeded" ? "succeeded" : "pending");
      location.assign(back.href);
    }
    return { [kind]: answer };
  }

  window.Stripe = function Stripe(key) {
    if (!/^pk_test_/.test(key || "")) throw new Error("Stripe(): the sandbox wants a pk_test_ key");
    const chosen = ({ elements, clientSecret }) => {
      const { options, ui } = elements.sandbox;
      return { secret: clientSecret || options.clientSecret, card: ui.card.value, pass: ui.pass.checked };
    };
    const methodOf = (data) => (typeof data.payment_method === "string" ? data.payment_method : "pm_card_visa");
    const setUp = (secret, card, pass) =>
      call("confirm-setup", { setupIntent: secret, paymentMethod: card, authenticate: pass });
    return {
      elements: (options = {}) => makeElements({ ...options }),
      async confirmSetup(options) {
        const { secret, card, pass } = chosen(options);
        return finish("setupIntent", await setUp(secret, card, pass), options);
      },
      async confirmPayment(options) {
        const { secret, card } = chosen(options);
        const answer = await call("confirm-payment", { paymentIntent: secret, paymentMethod: card });
        return finish("paymentIntent", answer, options);
      },
      async confirmCardSetup(secret, data = {}) {
        return finish("setupIntent", await setUp(secret, methodOf(data), true), { redirect: "if_required" });
      },
      async confirmCardPayment(secret, data = {}) {
        const body = { paymentIntent: secret, paymentMethod: data.payment_method ? methodOf(data) : null };
        return finish("paymentIntent", await call("confirm-payment", body), { redirect: "if_required" });
      },
    };
  };
})();
