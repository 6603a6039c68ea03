// The description of the API for people, by Swagger UI.
"use strict";

const ui = SwaggerUIBundle({
  dom_id: "#api",
  url: "/openapi.json",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  defaultModelsExpandDepth: 0,
  // Nothing is sent anywhere else.
  validatorUrl: null,
  onComplete: () => {
    const token = sessionStorage.getItem("token");
    if (token) ui.preauthorizeApiKey("HTTPBearer", token);
  },
});
