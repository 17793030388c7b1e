// Makes tests/vectors/wechat.json: what WeChat Pay and a merchant would sign and seal, by Node's crypto and the openssl command, which share
// no code with the service. The keys are made here, for tests, and protect nothing.
//
//     node tests/vectors/wechat.mjs > tests/vectors/wechat.json

import { createCipheriv, generateKeyPairSync, sign } from "node:crypto";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const pem = (key, type) => key.export({ type, format: "pem" });
const rsa = (modulusLength) => generateKeyPairSync("rsa", { modulusLength });
const base64 = (key, text) => sign("sha256", Buffer.from(text), key).toString("base64");

const merchant = rsa(2048);
const platform = rsa(2048);
const certified = rsa(2048);
const next = rsa(2048);
const short = rsa(1024);
const ec = generateKeyPairSync("ec", { namedCurve: "P-256" });

const mch_id = "1900000001";
const app_id = "wx0123456789abcdef";
const serial_no = "5157F09EFDC096DE15EBE81A47057A7232F1B8E1";
const api_v3_key = "0123456789abcdefghijklmnopqrstuv";
const public_key_id = "PUB_KEY_ID_0119000000012026112100000001";
const timestamp = 1795233600; // 2026-11-21T04:00:00Z: noon in China.

function certificate(key, serial) {
  const dir = mkdtempSync(join(tmpdir(), "wechat-vectors-"));
  try {
    const file = join(dir, "key.pem");
    writeFileSync(file, pem(key.privateKey, "pkcs8"));
    const args = ["req", "-x509", "-new", "-key", file, "-sha256", "-days", "3650", "-set_serial", `0x${serial}`];
    args.push("-subj", "/C=CN/O=Test only/CN=Platform certificate", "-addext", "basicConstraints=critical,CA:FALSE");
    args.push("-addext", "keyUsage=critical,digitalSignature,keyEncipherment", "-out", join(dir, "cert.pem"));
    execFileSync("openssl", args, { stdio: "ignore" });
    return readFileSync(join(dir, "cert.pem"), "utf8");
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function seal(plaintext, nonce, associated_data) {
  const cipher = createCipheriv("aes-256-gcm", api_v3_key, nonce);
  if (associated_data) cipher.setAAD(Buffer.from(associated_data));
  const bytes = Buffer.concat([cipher.update(plaintext, "utf8"), cipher.final(), cipher.getAuthTag()]);
  return { algorithm: "AEAD_AES_256_GCM", ciphertext: bytes.toString("base64"), nonce, associated_data };
}

function request(method, path, nonce, body) {
  const signature = base64(merchant.privateKey, `${method}\n${path}\n${timestamp}\n${nonce}\n${body}\n`);
  const parts = { mchid: mch_id, nonce_str: nonce, signature, timestamp, serial_no };
  const listed = Object.entries(parts).map(([name, value]) => `${name}="${value}"`).join(",");
  return { method, path, timestamp, nonce, body, authorization: `WECHATPAY2-SHA256-RSA2048 ${listed}` };
}

function message(body, nonce, key = platform, serial = public_key_id) {
  const headers = {
    "wechatpay-timestamp": String(timestamp),
    "wechatpay-nonce": nonce,
    "wechatpay-signature": base64(key.privateKey, `${timestamp}\n${nonce}\n${body}\n`),
    "wechatpay-serial": serial,
  };
  return { timestamp, headers, body };
}

const transaction = JSON.stringify({
  mchid: mch_id,
  appid: app_id,
  out_trade_no: "019300000000700080000000000000ab",
  transaction_id: "4200000000202611210000000001",
  trade_type: "JSAPI",
  trade_state: "SUCCESS",
  trade_state_desc: "支付成功",
  bank_type: "OTHERS",
  success_time: "2026-11-21T12:00:00+08:00",
  payer: { openid: "oUpF8uMuAJO_M2pxb1Q9zNjWeS6o" },
  amount: { total: 1980, payer_total: 1900, currency: "CNY", payer_currency: "CNY" },
});
const notice = JSON.stringify({
  id: "EV-2026112112000000001",
  create_time: "2026-11-21T12:00:00+08:00",
  resource_type: "encrypt-resource",
  event_type: "TRANSACTION.SUCCESS",
  summary: "支付成功",
  resource: { original_type: "transaction", ...seal(transaction, "4de73afd28b6", "transaction") },
});

const certificates = [["5157F09EFDC096DE15EBE81A47057A7232F1B8E2", certified], ["5157F09EFDC096DE15EBE81A47057A7232F1B8E3", next]];
const platform_certificates = certificates.map(([serial, key], index) => {
  const text = certificate(key, serial);
  return { serial_no: serial, private_key: pem(key.privateKey, "pkcs8"), pem: text, sealed: seal(text, `61f9c719728${index}`, "certificate") };
});

const checkout = { prepay_id: "wx201410272009395522657a690389285100", timestamp, nonce: "5K8264ILTKCH16CQ2502SI8ZNMTM67VS" };
checkout.pay_sign = base64(merchant.privateKey, `${app_id}\n${timestamp}\n${checkout.nonce}\nprepay_id=${checkout.prepay_id}\n`);

console.log(JSON.stringify({
  about: "Made by wechat.mjs. The keys are for tests, and protect nothing.",
  mch_id, app_id, serial_no, api_v3_key, public_key_id,
  private_key: pem(merchant.privateKey, "pkcs8"),
  private_key_pkcs1: pem(merchant.privateKey, "pkcs1"),
  merchant_public_key: pem(merchant.publicKey, "spki"),
  platform_private_key: pem(platform.privateKey, "pkcs8"),
  platform_public_key: pem(platform.publicKey, "spki"),
  platform_certificate: platform_certificates[0].pem,
  short_private_key: pem(short.privateKey, "pkcs8"),
  short_public_key: pem(short.publicKey, "spki"),
  ec_private_key: pem(ec.privateKey, "pkcs8"),
  requests: [
    request("GET", `/v3/pay/transactions/out-trade-no/019300000000700080000000000000ab?mchid=${mch_id}`, "593BEC0C930BF1AFEB40B4A08C8FB242", ""),
    request("POST", "/v3/pay/transactions/jsapi", "0F1E2D3C4B5A69788796A5B4C3D2E1F0", JSON.stringify({ description: "饺子馆 12 号", amount: { total: 1980, currency: "CNY" } })),
  ],
  responses: [
    message(JSON.stringify({ prepay_id: checkout.prepay_id }), "c5ac7061fccab6bf3e254dcf98995b8c"),
    message("", "7a31dbd3f9e94f14a9c5d1a1c7a31b2e"),
  ],
  seals: [
    { plaintext: transaction, sealed: seal(transaction, "4de73afd28b6", "transaction") },
    { plaintext: "{}", sealed: seal("{}", "d215b0511e9c", "") },
  ],
  notice: message(notice, "EcZ0zJ7Xw1q8T2yH5uKd9mRb3sVf6nLa"),
  notice_of_certificate: message(notice, "EcZ0zJ7Xw1q8T2yH5uKd9mRb3sVf6nLb", certified, certificates[0][0]),
  checkout,
  platform_certificates,
}, null, 2));
