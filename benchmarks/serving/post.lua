-- wrk's script: POST one body. Arguments: FILE [HEADER VALUE]...; the last line printed is JSON.
function init(arguments)
  local file = assert(io.open(arguments[1], "rb"))
  wrk.method, wrk.body = "POST", file:read("*a")
  file:close()
  for i = 2, #arguments, 2 do wrk.headers[arguments[i]] = arguments[i + 1] end
  prepared = wrk.format()
end

function request() return prepared end

function done(summary, latency)
  local errors = summary.errors
  print(string.format('{"requests": %d, "seconds": %f, "p50": %f, "p99": %f, "errors": %d}',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
