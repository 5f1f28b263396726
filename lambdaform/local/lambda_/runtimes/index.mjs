// The runtime client for Node.js: the public Runtime API and nothing but what Node.js ships.
//
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html. Handlers, answers, errors and log lines are as in
// https://docs.aws.amazon.com/lambda/latest/dg/lambda-nodejs.html.

import fs from "node:fs";
import http from "node:http";
import { createRequire, register } from "node:module";
import path from "node:path";
import { Writable } from "node:stream";
import { pathToFileURL } from "node:url";
import util from "node:util";

const API = new URL(`http://${process.env.AWS_LAMBDA_RUNTIME_API}`);
const PREFIX = "/2018-06-01/runtime";
const STREAMING = Symbol("streaming");
const PRELUDE = "application/vnd.awslambda.http-integration-response";
const MAJOR = Number(/nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV ?? "")?.[1] ?? 0);
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let requestId;

class RuntimeFailure extends Error {
  constructor(kind, message) {
    super(message);
    this.name = kind;
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
  let line;
  if (IS_JSON) {
    const record = { timestamp, level, requestId };
    const only = values.length === 1 ? values[0] : undefined;
    record.message = only !== null && typeof only === "object" && !(only instanceof Error) ? only : util.format(...values);
    const error = values.find((value) => value instanceof Error);
    if (error) {
      Object.assign(record, { errorType: error.name, errorMessage: error.message, stackTrace: described(error).trace });
    }
    try {
      line = JSON.stringify(record);
    } catch {
      line = JSON.stringify({ ...record, message: util.format(...values) });
    }
  } else {
    line = `${timestamp}\t${requestId}\t${level}\t${util.format(...values).replaceAll("\n", "\r")}`;
  }
  fs.writeSync(1, line + "\n");
}

for (const [name, level] of Object.entries({
  trace: "TRACE", debug: "DEBUG", log: "INFO", info: "INFO", warn: "WARN", error: "ERROR", fatal: "FATAL",
})) {
  console[name] = (...values) => write(level, values);
}

function logError(what, error) {
  const { errorType, errorMessage, trace } = described(error);
  if (IS_JSON) {
    write("ERROR", [{ errorType, errorMessage, stackTrace: trace }]);
  } else {
    write("ERROR", [`${what} \t${JSON.stringify({ errorType, errorMessage, stack: trace })}`]);
  }
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
      stream.write(JSON.stringify(prelude));
      stream.write(Buffer.alloc(8));
      return stream;
    },
  },
};

class ResponseStream extends Writable {
  #tail;
  #kind = "application/octet-stream";
  #request;
  #answered;

  constructor(tail) {
    super({ highWaterMark: 65536 });
    this.#tail = tail;
  }

  setContentType(kind) {
    this.#kind = kind;
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
    throw new RuntimeFailure("Runtime.CallbackHandlerDeprecated", "AWS Lambda has removed support for callback-based function handlers starting with Node.js 24. You need to modify this function to use a supported handler signature to use Node.js 24 or later. For more information see https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html.");
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
    if (error?.code === "MODULE_NOT_FOUND" || error?.code === "ERR_MODULE_NOT_FOUND") {
      throw new RuntimeFailure("Runtime.ImportModuleError", String(error));
    }
    throw error;
  }
}

function contextOf(headers, settle) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parsed = (name) => (headers[name] ? JSON.parse(headers[name]) : undefined);
  const environ = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
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
    ...(MAJOR >= 24 ? {} : {
      done: settle,
      fail: (error) => settle(error ?? "handled"),
      succeed: (result) => settle(null, result),
    }),
  };
}

function run(handler, event, headers) {
  return new Promise((resolve, reject) => {
    let context;
    const settle = (error, result) => {
      const end = () => (error === undefined || error === null ? resolve(result) : reject(error));
      if (context.callbackWaitsForEmptyEventLoop) {
        waiting = end;
        setImmediate(() => {}); // so that the loop comes to its end once more
      } else {
        end();
      }
    };
    context = contextOf(headers, settle);
    waiting = () => resolve(null); // nothing is left to do, and nobody has called back: the answer is null
    const result = handler(event, context, settle);
    if (typeof result?.then === "function") {
      waiting = undefined;
      result.then(resolve, reject);
    }
  });
}

let waiting;
process.on("beforeExit", () => {
  const end = waiting;
  waiting = undefined;
  end?.();
});

async function last(what, kind, error, code) {
  const failure = kind === undefined ? error : new RuntimeFailure(kind, String(error));
  if (kind !== undefined && error?.stack) {
    failure.stack = `${kind}: ${failure.message}\n${String(error.stack).split("\n").slice(1).join("\n")}`;
  }
  logError(what, failure);
  try {
    await postError(requestId ? `/invocation/${requestId}/error` : "/init/error", failure);
  } finally {
    process.exit(code);
  }
}
process.on("uncaughtException", (error) => void last("Uncaught Exception", undefined, error, 129));
process.on("unhandledRejection", (error) =>
  void last("Unhandled Promise Rejection", "Runtime.UnhandledPromiseRejection", error, 128));

async function stream(handler, event, headers, tail) {
  const out = new ResponseStream(`${tail}/response`);
  try {
    await handler(event, out, contextOf(headers, () => {}));
    await new Promise((resolve, reject) => {
      out.on("error", reject);
      out.on("close", resolve);
      out.end();
    });
  } catch (error) {
    logError("Invoke Error", error);
    await (out.isOpen ? out.fail(error) : postError(`${tail}/error`, error));
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
    process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"] ?? "";
    const tail = `/invocation/${requestId}`;
    if (handler[STREAMING] !== undefined) {
      await stream(handler, JSON.parse(body), headers, tail);
      continue;
    }
    let text;
    try {
      const result = await run(handler, JSON.parse(body), headers);
      text = JSON.stringify(result === undefined ? null : result) ?? "null";
    } catch (error) {
      logError("Invoke Error", error);
      await postError(`${tail}/error`, error);
      continue;
    }
    await call("POST", `${tail}/response`, text, { "Content-Type": "application/json" });
  }
}

void main();
