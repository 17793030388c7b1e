"""Starts a service with the demo restaurant on a private PostgreSQL, gives it some history by the real routes, and plays a stranger, a
customer and the owner against it. Ends with the audit.

SEED repeats a run; EXAMPLES is how many requests are made up of each kind for each operation; ONLY names one of the three.
"""

import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

HERE = Path(__file__).resolve().parent
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")

# Who is played, and by whose operations. To a stranger most of them say the same, whatever is sent.
PLAYERS = {
    "stranger": ["--phases", "examples,fuzzing"],
    "customer": ["--include-tag", "customers", "--include-tag", "gateways", "--include-tag", "operations"],
    "owner": ["--include-tag", "staff"],
}


class Service:
    """A running `rowlock serve`, in a folder of its own."""

    def __init__(self, rowlock, folder):
        self.rowlock, self.folder = rowlock, folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        # Nothing of the caller's settings, and no limit that binds: how often one may ask is not what is tried.
        self.environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "ROWLOCK_HTTP_PORT": str(port),
            "ROWLOCK_HTTP_CUSTOMER_REQUESTS_PER_SECOND": "100000",
            "ROWLOCK_HTTP_CUSTOMER_REQUESTS_BURST": "100000",
            "ROWLOCK_HTTP_LOGINS_PER_MINUTE": "1000000",
            "ROWLOCK_HTTP_STAFF_REQUESTS_PER_SECOND": "30000",
            "ROWLOCK_HTTP_STAFF_LOGINS_PER_MINUTE": "10000",
            "ROWLOCK_WEBHOOKS_ALLOW_PRIVATE": "true",
        }
        self.log = folder / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [rowlock, "serve"], cwd=folder, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.wait_until_ready()

    def wait_until_ready(self):
        for _ in range(600):
            try:
                urllib.request.urlopen(f"{self.url}/readyz").close()
                return
            except (urllib.error.URLError, ConnectionError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        sys.exit(f"fuzz: the service does not start:\n{self.log.read_text()}")

    def call(self, method, path, body=None, token=None, key=None):
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        if key:
            headers["Idempotency-Key"] = key
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(urljoin(f"{self.url}/v1/", path), data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def stop(self):
        self.process.terminate()
        return self.process.wait(timeout=60) == 0

    def faults(self):
        """What it has logged of faults of its own."""
        return [line for line in self.log.read_text().splitlines() if " ERROR " in line or "panicked" in line]

    def audit(self):
        return subprocess.run([self.rowlock, "audit"], cwd=self.folder, env=self.environment).returncode == 0


def until(holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    sys.exit("fuzz: the history does not come about")


def call_off_in_vain(service, customer, payments, orders):
    """Orders that are paid and called off, and whose money does not go back: a human must see to it."""
    service.call("PUT", "/sandbox/v1/switches", {"refund": "fail"})
    for payment, order in zip(payments, orders):
        service.call("POST", f"/sandbox/v1/payments/{payment['id'].replace('-', '')}/pay", {})
        path = f"merchants/1/orders/{order['id']}"
        until(lambda: service.call("GET", path, token=customer)["state"] == "pending_accept")
        service.call("POST", f"{path}/cancel", {"reason": "changed_mind"}, customer)


def give_history(service):
    """Orders in some of the states there are: the ids of what there is now, by what `schemathesis.toml` calls them, and the tokens of a
    customer and the owner."""
    customer = service.call("POST", "merchants/1/sessions", {"code": "fuzz"})["token"]
    owner = service.call("POST", "admin/merchants/1/sessions", {"login": "owner", "password": "rowlock-demo"})["token"]
    # Nobody listens there.
    service.call("PATCH", "admin/merchants/1/settings", {"webhook_url": "http://127.0.0.1:9/"}, owner)
    categories = service.call("GET", "admin/merchants/1/menu", token=owner)["categories"]
    products = [product for category in categories for product in category["products"]]
    goods = [goods["id"] for product in products for goods in product["goods"]]
    addresses = [
        service.call("POST", "merchants/1/addresses", {"contact": "Li Lei", "phone": "13800138000", "place": place}, customer)
        for place in ("Home", "Work")
    ]
    delivery = {"kind": "delivery", "address_id": addresses[0]["id"]}
    fulfilments = [{"kind": "dine_in", "table": "A3"}, {"kind": "pickup"}, delivery]
    orders, payments = [], []
    for number in range(48):
        pay_method = ("cash", "sandbox")[number % 2]
        order = {
            "lines": [{"goods_id": goods[number % 12], "count": 4}],
            "fulfilment": fulfilments[number % 3],
            "pay_method": pay_method,
        }
        order = service.call("POST", "merchants/1/orders", order, customer, f"history-{number}")
        orders.append(order)
        if pay_method == "sandbox":
            payments.append(service.call("POST", f"merchants/1/orders/{order['id']}/payments", {}, customer)["payment"])
    moves = ["accept", "prepare", "ready"]
    cash = [order for order in orders if order["pay_method"] == "cash"]
    for number, order in enumerate(cash):
        for move in moves[: number % 4]:
            service.call("POST", f"admin/merchants/1/orders/{order['id']}/{move}", {} if move == "accept" else None, owner)
    call_off_in_vain(service, customer, payments[:4], [order for order in orders if order not in cash][:4])
    show_alerts = lambda: service.call("GET", "admin/merchants/1/alerts", token=owner)["items"]
    until(lambda: len(show_alerts()) == 4)
    alerts = show_alerts()
    deliveries = service.call("GET", "admin/merchants/1/webhook-deliveries", token=owner)["items"]
    votes = service.call("POST", "admin/merchants/1/accounts", {"kind": "votes", "name": "Dish of the year"}, owner, "votes")
    staff = service.call("GET", "admin/merchants/1/staff", token=owner)["items"]
    things = {"category": categories, "product": products, "order": orders, "address": addresses, "payment": payments}
    ids = {name: [thing["id"] for thing in things] for name, things in things.items()}
    ids |= {"alert": [alert["id"] for alert in alerts], "refund": [alert["refund_id"] for alert in alerts]}
    ids |= {"delivery": [delivery["seq"] for delivery in deliveries]}
    ids |= {"goods": goods, "account": [votes["id"]], "staff": [member["id"] for member in staff]}
    return ids, customer, owner


def configure(folder, ids):
    """The configuration, and the ids that nobody could make up."""
    words = [f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n" for name, values in ids.items()]
    config = folder / "schemathesis.toml"
    config.write_text((HERE / "schemathesis.toml").read_text() + "\n" + "".join(words))
    return config


def play(service, config, name, arguments, tokens, seed, examples):
    print(f"\n══ The {name}\n", flush=True)
    customer, owner = tokens
    environment = service.environment | {
        "CUSTOMER_TOKEN": customer if name == "customer" else "made-up",
        "STAFF_TOKEN": owner if name == "owner" else "made-up",
        "SCHEMATHESIS_HOOKS": "hooks",
        "PYTHONPATH": str(HERE),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [SCHEMATHESIS, "--config-file", config, "run", f"{service.url}/openapi.json"]
    command += ["--seed", str(seed), "--max-examples", str(examples), "--continue-on-failure", "--no-color"]
    command += ["--warnings", "off", "--generation-database", "none", *arguments]
    return subprocess.run(command, cwd=service.folder, env=environment).returncode == 0


def main():
    rowlock = Path(sys.argv[1]).resolve()
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    examples = int(os.environ.get("EXAMPLES") or 25)
    only = os.environ.get("ONLY")
    print(f"SEED={seed} EXAMPLES={examples}", flush=True)
    with tempfile.TemporaryDirectory(prefix="rowlock-fuzz-") as folder:
        # PostgreSQL runs as another user where this is root's.
        os.chmod(folder, 0o755)
        service = Service(rowlock, Path(folder))
        try:
            ids, *tokens = give_history(service)
            config = configure(Path(folder), ids)
            failed = [
                name
                for name, arguments in PLAYERS.items()
                if only in (None, "", name) and not play(service, config, name, arguments, tokens, seed, examples)
            ]
            is_sound = service.audit()
        finally:
            ended_well = service.stop()
        faults = service.faults()
    for line in faults[:20]:
        print(line)
    found = [f"the {name} found something" for name in failed]
    found += ["the audit found something"] * (not is_sound)
    found += [f"the service logged {len(faults)} faults"] * bool(faults)
    found += ["the service did not end well"] * (not ended_well)
    print(f"fuzz: {'; '.join(found) or 'nothing found'}. SEED={seed} EXAMPLES={examples} repeats it")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
