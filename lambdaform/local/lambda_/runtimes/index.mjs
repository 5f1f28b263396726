// The runtime client for Node.js: the public Runtime API and nothing but what Node.js ships.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Handlers, answers, errors and log lines are as in
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html.

import fs from "node:fs";
import http from "node:http";
import { createRequire, register } from "node:module";
import path from "node:path";
import { Writable } from "node:stream";
import { finished } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import util from "node:util";

const API = new URL(`http://${process.env.AWS_LAMBDA_RUNTIME_API}`);
const PREFIX = "/2018-06-01/runtime";
const STREAMING = Symbol("streaming");
const PRELUDE = "application/vnd.awslambda.http-integration-response";
const MAJOR = Number(/nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? "")?.[1] ?? 0);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let requestId;
let tenantId;

class RuntimeFailure extends Error {
  constructor(kind, message) {
    super(message);
    Object.defineProperty(this, "name", { value: kind }); // not among the properties that are logged
    Error.captureStackTrace(this, RuntimeFailure); // anew, as a trace begins with the name of its time
  }
}

// Talking to the Runtime API

function call(method, tail, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { method, agent, hostname: API.hostname, port: API.port, path: PREFIX + tail, headers };
    if (body !== undefined) {
      options.headers = { "Content-Length": Buffer.byteLength(body), ...headers };
    }
    const request = http.request(options, (answer) => {
      const pieces = [];
      answer.on("data", (piece) => pieces.push(piece));
      answer.on("end", () => resolve({ headers: answer.headers, body: Buffer.concat(pieces) }));
      answer.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

function described(error) {
  if (util.types.isNativeError(error) || error instanceof Error) {
    return {
      errorType: error.name?.replaceAll("\x7F", "%7F") ?? "Error",
      errorMessage: error.message ?? "",
      trace: (error.stack ?? "").split("\n"),
    };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function postError(tail, error) {
  const document = described(error);
  const kind = /^(Runtime|Function)\./.test(document.errorType) ? document.errorType : "Unhandled";
  return call("POST", tail, JSON.stringify(document), {
    "Content-Type": "application/json",
    "Lambda-Runtime-Function-Error-Type": kind,
  });
}

// The log

const IS_JSON = process.env.AWS_LAMBDA_LOG_FORMAT === "JSON";
const LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const LOWEST = Math.max(0, LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL ?? "TRACE").toUpperCase()));

function write(level, values) {
  if (LEVELS.indexOf(level) < LOWEST) {
    return;
  }
  const timestamp = new Date().toISOString();
  const line = IS_JSON
    ? object({ timestamp, level, requestId, tenantId }, values)
    : `${timestamp}\t${requestId}\t${level}\t${util.format(...values).replaceAll("\n", "\r")}`;
  fs.writeSync(1, line + "\n");
}

function object(record, values) {
  if (values.length === 1) {
    try {
      return JSON.stringify({ ...record, message: values[0] }, spelled);
    } catch {
      return JSON.stringify({ ...record, message: util.format(...values) });
    }
  }
  const error = values.find((value) => value instanceof Error);
  const { errorType, errorMessage, stackTrace } = error ? spelled("", error) : {};
  return JSON.stringify({ ...record, message: util.format(...values), errorType, errorMessage, stackTrace });
}

// For `JSON.stringify`, which sees of an error only what it was given, such as `code`. An error has other names in
// objects than in text, and there it is of its class: a failure of ours is of AWS's class, whose name has no prefix.
function spelled(key, value) {
  if (!(value instanceof Error)) {
    return value;
  }
  const { message: errorMessage, code } = value;
  const trace = typeof value.stack === "string" ? value.stack.split("\n") : value.stack;
  if (IS_JSON) {
    const kind = value instanceof RuntimeFailure ? value.name.replace("Runtime.", "") : value.constructor?.name;
    return { errorType: kind ?? "UnknownError", errorMessage, stackTrace: trace, ...value };
  }
  return { errorType: value.name, errorMessage, code, ...value, stack: trace };
}

for (const [name, level] of Object.entries({
  trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL",
})) {
  console[name] = (message, ...more) => write(level, [message, ...more]);
}

function logError(what, thrown) {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  if (IS_JSON) {
    write("ERROR", [error]);
    return;
  }
  let text;
  try {
    text = JSON.stringify(error, spelled);
  } catch {
    text = JSON.stringify(described(error)); // what it was given goes round in circles
  }
  write("ERROR", [`${what} \t${text}`]);
}

// Streaming

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = options ?? {};
    return handler;
  },
  HttpResponseStream: {
    from(stream, prelude) {
      stream.setContentType(PRELUDE);
      const head = JSON.stringify(prelude);
      // Libraries that bring this class along set this too, so it has AWS's name.
      stream._onBeforeFirstWrite = (write) => {
        write(head);
        write(new Uint8Array(8));
      };
      return stream;
    },
  },
};

class ResponseStream extends Writable {
  #tail;
  #kind = "application/octet-stream";
  #request;
  #answered;
  #isBegun = false;

  constructor(tail) {
    super({ highWaterMark: 65536 });
    this.#tail = tail;
  }

  setContentType(kind) {
    if (this.#isBegun) {
      throw new RuntimeFailure("Runtime.InvalidStreamingOperation", "Cannot set content-type, too late.");
    }
    this.#kind = kind;
  }

  write(piece, ...more) {
    this.#begin();
    const isRaw = typeof piece === "string" || piece instanceof Uint8Array;
    return super.write(isRaw ? piece : JSON.stringify(piece), ...more);
  }

  end(...given) {
    this.#begin();
    return super.end(...given);
  }

  #begin() {
    if (!this.#isBegun) {
      this.#isBegun = true;
      this._onBeforeFirstWrite?.((piece) => super.write(piece));
    }
  }

  #open() {
    if (this.#request === undefined) {
      const options = { method: "POST", agent, hostname: API.hostname, port: API.port, path: PREFIX + this.#tail };
      options.headers = {
        "Content-Type": this.#kind,
        "Lambda-Runtime-Function-Response-Mode": "streaming",
        "Transfer-Encoding": "chunked",
        Trailer: "Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body",
      };
      this.#request = http.request(options);
      this.#answered = new Promise((resolve, reject) => {
        this.#request.on("response", (answer) => answer.resume().on("end", resolve));
        this.#request.on("error", reject);
      });
    }
    return this.#request;
  }

  get isOpen() {
    return this.#request !== undefined;
  }

  _write(piece, encoding, done) {
    this.#open().write(piece, encoding, done);
  }

  _final(done) {
    this.#open().end();
    this.#answered.then(() => done(), done);
  }

  fail(error) {
    const document = described(error);
    this.#open().addTrailers({
      "Lambda-Runtime-Function-Error-Type": document.errorType,
      "Lambda-Runtime-Function-Error-Body": Buffer.from(JSON.stringify(document)).toString("base64"),
    });
    this.#request.end();
    return this.#answered;
  }
}

// The handler

async function load(setting) {
  if (setting.includes("..")) {
    throw new RuntimeFailure("Runtime.MalformedHandlerName", `'${setting}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  }
  const base = path.basename(setting);
  const split = /^([^.]*)\.(.*)$/.exec(base);
  if (!split) {
    throw new RuntimeFailure("Runtime.MalformedHandlerName", "Bad handler");
  }
  const root = path.resolve(process.env.LAMBDA_TASK_ROOT, setting.slice(0, setting.length - base.length), split[1]);
  const module = await imported(root, split[1]);
  const found = split[2].split(".").reduce((inner, name) => inner?.[name], module) ??
    split[2].split(".").reduce((inner, name) => inner?.[name], module?.default);
  if (found === undefined) {
    throw new RuntimeFailure("Runtime.HandlerNotFound", `${setting} is undefined or not exported`);
  }
  if (typeof found !== "function") {
    throw new RuntimeFailure("Runtime.HandlerNotFound", `${setting} is not a function`);
  }
  if (MAJOR >= 24 && found.length >= 3 && found[STREAMING] === undefined) {
    throw new RuntimeFailure("Runtime.CallbackHandlerDeprecated", "ERROR: AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.");
  }
  return found;
}

// Node.js looks for what ES modules import beside them only; Lambda's runtimes also look where NODE_PATH says.
const LOOK_FURTHER = `
import { pathToFileURL } from "node:url";
export async function resolve(specifier, context, next) {
  try {
    return await next(specifier, context);
  } catch (error) {
    if (error.code === "ERR_MODULE_NOT_FOUND" && !/^(\\.{0,2}\\/|[a-z]+:)/.test(specifier)) {
      for (const folder of (process.env.NODE_PATH ?? "").split(":").filter((each) => each.endsWith("node_modules"))) {
        try {
          return await next(specifier, { ...context, parentURL: pathToFileURL(folder.slice(0, -12) + "any.mjs").href });
        } catch {}
      }
    }
    throw error;
  }
}`;

async function importedModule(file) {
  try {
    return await import(pathToFileURL(file));
  } catch (error) {
    if (error?.code !== "ERR_MODULE_NOT_FOUND") {
      throw error;
    }
    register(`data:text/javascript,${encodeURIComponent(LOOK_FURTHER)}`);
    return await import(`${pathToFileURL(file)}?further`); // a failure of the address itself is remembered
  }
}

async function imported(root, name) {
  try {
    for (const extension of ["", ".js", ".mjs", ".cjs"]) {
      const file = root + extension;
      if (fs.existsSync(file) && fs.statSync(file).isFile()) {
        return extension === ".cjs" ? createRequire(file)(file) : await importedModule(file);
      }
    }
    return createRequire(path.join(process.env.LAMBDA_TASK_ROOT, "index.js"))(
      createRequire(path.join(process.env.LAMBDA_TASK_ROOT, "index.js")).resolve(name, { paths: [process.env.LAMBDA_TASK_ROOT] }),
    );
  } catch (error) {
    if (error instanceof SyntaxError) {
      throw new RuntimeFailure("Runtime.UserCodeSyntaxError", String(error));
    }
    if (error?.code === "MODULE_NOT_FOUND") { // what an ES module imports in vain has another code, and stays as it is
      throw new RuntimeFailure("Runtime.ImportModuleError", String(error));
    }
    throw error;
  }
}

function contextOf(headers) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  const environ = process.env;
  return {
    ...(MAJOR >= 24 ? {} : { callbackWaitsForEmptyEventLoop: true }),
    functionVersion: environ.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: environ.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: environ.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: environ.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: environ.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parsed("lambda-runtime-client-context"),
    identity: parsed("lambda-runtime-cognito-identity"),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: headers["lambda-runtime-aws-request-id"],
    tenantId: headers["lambda-runtime-aws-tenant-id"],
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
  };
}

function serialised(result) {
  try {
    return JSON.stringify(result === undefined ? null : result) ?? "null";
  } catch {
    const told = "Unable to stringify response body";
    throw MAJOR >= 24 ? new RuntimeFailure("Runtime.JSONStringifyError", told) : new Error(told);
  }
}

async function run(handler, event, context) {
  if (MAJOR >= 24) {
    return serialised(await handler(event, context)); // a promise that never settles lets the process end
  }
  return new Promise((resolve, reject) => {
    let isSettled = false;
    const isError = (error) => error !== undefined && error !== null;
    const settle = (error, result, isPatient = false) => {
      if (isSettled) {
        return; // the first call counts
      }
      isSettled = true;
      waiting = undefined;
      const end = () => {
        try {
          resolve(serialised(result));
        } catch (failure) {
          reject(failure);
        }
      };
      if (isError(error)) {
        reject(error);
      } else if (isPatient) {
        waiting = end;
      } else {
        end();
      }
    };
    const callback = (error, result) => settle(error, result, context.callbackWaitsForEmptyEventLoop);
    const done = (error, result) => settle(error, result);
    const succeed = (result) => settle(null, result);
    const fail = (error) => settle(isError(error) ? error : "handled");
    // Nothing is left to do and nobody has settled: AWS's client takes that for an error of `async` functions only.
    const isAsync = handler.constructor?.name === "AsyncFunction";
    waiting = () => settle(isAsync ? new RuntimeFailure("Runtime.NodeJsExit", NEVER_SETTLED) : null, null);
    try {
      const result = handler(event, Object.assign(context, { done, fail, succeed }), callback);
      if (typeof result?.then === "function") {
        result.then(succeed, fail);
      }
    } catch (error) {
      callback(error);
    }
  });
}

const NEVER_SETTLED = "The Lambda runtime client detected an unexpected Node.js exit code. This is most commonly caused by a Promise that was never settled. For more information, see https://nodejs.org/docs/latest/api/process.html#exit-codes";
let waiting;
process.on("beforeExit", () => {
  const end = waiting;
  waiting = undefined;
  end?.();
});

async function last(what, failure, code) {
  logError(what, failure);
  try {
    await postError(requestId ? `/invocation/${requestId}/error` : "/init/error", failure);
  } finally {
    process.exit(code);
  }
}
process.on("uncaughtException", (error) => void last("Uncaught Exception", error, 129));
process.on("unhandledRejection", (reason, promise) => {
  const failure = new RuntimeFailure("Runtime.UnhandledPromiseRejection", String(reason));
  if (reason?.stack) {
    failure.stack = `${failure.name}: ${failure.message}\n${String(reason.stack).split("\n").slice(1).join("\n")}`;
  }
  void last("Unhandled Promise Rejection", Object.assign(failure, { reason, promise }), 128);
});

async function stream(handler, event, headers, tail) {
  const out = new ResponseStream(`${tail}/response`);
  const ended = finished(out);
  ended.catch(() => {}); // looked at below, once the handler is done
  // AWS's client has its request open from the start: who never ends the stream waits for the function's timeout.
  const open = setInterval(() => {}, 60_000);
  try {
    const returned = handler(event, out, contextOf(headers));
    if (typeof returned?.then !== "function") {
      const told = "Streaming does not support non-async handlers.";
      throw MAJOR >= 24 ? new Error(told) : told;
    }
    if ((await returned) !== undefined) {
      console.warn("Streaming handlers ignore return values.");
    }
    await ended;
  } catch (error) {
    logError("Invoke Error", error);
    if (out.writableEnded) {
      await ended; // too late for the caller to hear of it
    } else {
      await (out.isOpen ? out.fail(error) : postError(`${tail}/error`, error));
    }
  } finally {
    clearInterval(open);
  }
}

async function main() {
  let handler;
  try {
    handler = await load(process.env._HANDLER);
  } catch (error) {
    logError("Uncaught Exception", error);
    await postError("/init/error", error);
    process.exit(1);
  }
  for (;;) {
    const { headers, body } = await call("GET", "/invocation/next");
    requestId = headers["lambda-runtime-aws-request-id"];
    tenantId = headers["lambda-runtime-aws-tenant-id"];
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
    const tail = `/invocation/${requestId}`;
    if (handler[STREAMING] !== undefined) {
      await stream(handler, JSON.parse(body), headers, tail);
      continue;
    }
    let text;
    try {
      text = await run(handler, JSON.parse(body), contextOf(headers));
    } catch (error) {
      logError("Invoke Error", error);
      await postError(`${tail}/error`, error);
      continue;
    }
    await call("POST", `${tail}/response`, text, { "Content-Type": "application/json" });
  }
}

void main();
