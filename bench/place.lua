-- Places orders over HTTP, one after the other on each connection.
--
-- It is told by the environment:
--   LOAD     spread, hot, many or sold_out
--   CELL     a number that no other run has: it makes the idempotency keys unique
--   CLIENTS  how many connections there are
--   PAUSE_MS how long each client waits before it asks again
--   TOKENS   a file with a line `<merchant> <token>` for every customer
--
-- Whatever can be made beforehand is: a request is a choice of ready pieces, so that one thread of wrk outruns the service.

local random, format = math.random, string.format
local cell, clients = tonumber(os.getenv("CELL")), tonumber(os.getenv("CLIENTS"))

local pause = tonumber(os.getenv("PAUSE_MS"))
if pause > 0 then
    function delay() return pause end
end

-- The goods of each load, as m * 10000 + k: see seed.sql.
local goods = {
    spread = function(m) return { random(10001, 10333), random(10334, 10666), random(10667, 11000) } end,
    hot = function(m) return { 11001 } end,
    many = function(m) return { m * 10000 + random(1, 7), m * 10000 + random(8, 14), m * 10000 + random(15, 20) } end,
    sold_out = function(m) return { 11002 } end,
}

local function body_of(ids)
    local lines = {}
    for i, id in ipairs(ids) do lines[i] = format('{"goods_id":%d,"count":1}', id) end
    return format('{"lines":[%s],"fulfilment":{"kind":"pickup"},"pay_method":"cash"}', table.concat(lines, ","))
end

-- Each thread makes keys of its own.
local threads = 0
function setup(thread)
    thread:set("number", threads)
    threads = threads + 1
end

local draw, key, placed = goods[os.getenv("LOAD")], nil, 0
local heads, merchants = {}, {}

function init(args)
    key = format("%d-%d-", cell, number)
    math.randomseed(cell * 100 + number)
    for line in io.lines(os.getenv("TOKENS")) do
        local merchant, token = line:match("^(%d+) (%S+)$")
        merchants[#merchants + 1] = tonumber(merchant)
        heads[#heads + 1] = format(
            "POST /v1/merchants/%s/orders HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                .. "Authorization: Bearer %s\r\nIdempotency-Key: ", merchant, token)
    end
end

function request()
    placed = placed + 1
    local customer = random(#heads)
    local body = body_of(draw(merchants[customer]))
    return heads[customer] .. key .. placed .. "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

-- How many answers took how many microseconds, and the longest.
local function histogram(latency)
    local counts, total, longest = {}, 0, 0
    for i = 1, #latency do
        local us, count = latency(i)
        counts[us], total, longest = count, total + count, us
    end
    return counts, total, longest
end

-- wrk adds to what it measured what clients with a timetable would have waited for behind each slow answer (`stats_correct`
-- in its wrk.c). pgbench does not. Here that is taken out again, exactly, from the slowest answer down.
local function uncorrect(counts, longest, interval)
    for us = longest, 2 * interval, -1 do
        local count = counts[us] or 0
        for earlier = us - interval, interval + 1, -interval do
            if count == 0 then break end
            counts[earlier] = counts[earlier] - count
        end
    end
end

local function percentile(counts, total, longest, share)
    local seen = 0
    for us = 0, longest do
        seen = seen + (counts[us] or 0)
        if seen >= total * share then return us end
    end
end

function done(summary, latency, requests)
    local errors = summary.errors
    local failed = errors.connect + errors.read + errors.write + errors.timeout
    -- Nobody asks for the latencies of a flood, and taking out what wrk adds to those of so many clients takes minutes.
    if clients > 1000 then
        print(format('{"requests":%d,"timed":0,"seconds":%f,"p50_ms":0,"p99_ms":0,"failed":%d}',
            summary.requests, summary.duration / 1e6, failed))
        return
    end
    local counts, total, longest = histogram(latency)
    if total > summary.requests then
        local of_each = math.floor(summary.requests / clients)
        uncorrect(counts, longest, math.floor(summary.duration / of_each))
        total = 0
        for _, count in pairs(counts) do total = total + count end
    end
    print(format('{"requests":%d,"timed":%d,"seconds":%f,"p50_ms":%f,"p99_ms":%f,"failed":%d}',
        summary.requests, total, summary.duration / 1e6,
        percentile(counts, total, longest, 0.5) / 1e3, percentile(counts, total, longest, 0.99) / 1e3,
        failed))
end
