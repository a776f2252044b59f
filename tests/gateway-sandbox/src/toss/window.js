// The surface of the Toss SDK that registering a card needs; opens the sandbox's own window instead of Toss's.
(() => {
  const origin = new URL(document.currentScript.src).origin;

  function open(customerKey, options) {
    const given = options || {};
    for (const name of ["successUrl", "failUrl"]) {
      if (!/^https?:\/\//.test(given[name] || "")) {
        return Promise.reject(Object.assign(new Error(`${name} must be absolute`), { code: "INVALID_PARAMETER" }));
      }
    }
    if (given.method !== "CARD") {
      return Promise.reject(Object.assign(new Error("only CARD is offered here"), { code: "NOT_SUPPORTED_METHOD" }));
    }
    const query = new URLSearchParams({ customerKey, successUrl: given.successUrl, failUrl: given.failUrl });
    window.location.assign(`${origin}/__sandbox/window?${query}`);
    return new Promise(() => {});
  }

  function TossPayments(clientKey) {
    if (!/^test_ck_/.test(clientKey || "")) {
      throw Object.assign(new Error("the sandbox takes test_ck_ client keys only"), { code: "INVALID_CLIENT_KEY" });
    }
    return {
      payment: ({ customerKey }) => ({
        requestBillingAuth: (options) => open(customerKey, options),
        destroy: () => Promise.resolve(),
      }),
    };
  }
  TossPayments.ANONYMOUS = "@@ANONYMOUS";
  window.TossPayments = TossPayments;
})();
