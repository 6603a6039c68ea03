// What the server is asked, with the token of this tab.

export const token = {
  get: () => sessionStorage.getItem("token"),
  keep: (given) => sessionStorage.setItem("token", given),
  forget: () => sessionStorage.removeItem("token"),
};

// The server's problem (RFC 9457), as an error: `status`, and the last part of its type as `kind`.
async function refusal(answer) {
  const told = await answer.json().catch(() => ({}));
  const error = new Error(told.detail ?? `The server answered ${answer.status}.`);
  error.status = answer.status;
  error.kind = (told.type ?? "").split("#")[1];
  return error;
}

async function answerTo(path, isAnew = false) {
  const headers = token.get() ? { Authorization: `Bearer ${token.get()}` } : {};
  const answer = await fetch(path, { headers, cache: isAnew ? "reload" : "default" }).catch(() => {
    throw new Error("The server does not answer. Is it running?");
  });
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

export const ask = async (path, isAnew = false) => (await answerTo(path, isAnew)).json();

// A link cannot send the token, so the file is fetched and then saved.
export async function download(path, name) {
  const address = URL.createObjectURL(await (await answerTo(path)).blob());
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
