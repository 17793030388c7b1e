// Makes alipay.json: what src/gateway/alipay/ and tests/it/alipay.rs are held against, by Node's crypto and the openssl command, which share
// no code with it. Keys and certificates are kept from the file if it is there, so that running this again changes nothing else.
// They guard nothing: they are for these tests alone.
//
//   node tests/vectors/alipay.mjs

import { createHash, createPrivateKey, createPublicKey, createSign, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const file = new URL('alipay.json', import.meta.url);
const old = existsSync(file) ? JSON.parse(readFileSync(file)) : {};

function pair(name, bits) {
  const key = old[name]
    ? createPrivateKey({ key: Buffer.from(old[name].pkcs8, 'base64'), format: 'der', type: 'pkcs8' })
    : generateKeyPairSync('rsa', { modulusLength: bits }).privateKey;
  const base64 = (key, type) => key.export({ type, format: 'der' }).toString('base64');
  return { key, pkcs8: base64(key, 'pkcs8'), pkcs1: base64(key, 'pkcs1'), public: base64(createPublicKey(key), 'spki') };
}
const keys = { app: pair('app', 2048), alipay: pair('alipay', 2048), stranger: pair('stranger', 2048), weak: pair('weak', 1024) };
const shown = ({ pkcs8, pkcs1, public: open }) => ({ pkcs8, pkcs1, public: open });
const sign = (key, text) => createSign('RSA-SHA256').update(text).sign(key.key, 'base64');

// Certificates: two roots by RSA and one by an elliptic curve, which does not count, and one certificate each for the app and for Alipay.
function certificates() {
  const dir = mkdtempSync(join(tmpdir(), 'vectors-'));
  const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: ['ignore', 'pipe', 'ignore'] }).toString();
  const ca = (name, subject, serial, algorithm) => openssl('req', '-x509', '-newkey', ...algorithm, '-noenc', '-keyout', `${name}.key`,
    '-utf8', '-subj', subject, '-set_serial', serial, '-days', '7300', '-out', `${name}.crt`);
  const rsa = ['rsa:2048'];
  ca('one', '/C=CN/O=Test Financial/OU=Certification Authority/CN=Test Financial Certification Authority R1', '0x1', rsa);
  ca('two', '/C=CN/O=Test Financial/OU=Certification Authority/CN=Test Financial Class 2 R1', '0x7fffffffffffffffffffffffffffffffffffffff', rsa);
  ca('curve', '/C=CN/O=Test Financial/CN=Test Financial E1', '0x5', ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']);
  const leaf = (name, key, subject, serial) => {
    writeFileSync(join(dir, `${name}.key`), key.key.export({ type: 'pkcs8', format: 'pem' }));
    openssl('req', '-new', '-key', `${name}.key`, '-utf8', '-subj', subject, '-out', `${name}.csr`);
    openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'two.crt', '-CAkey', 'two.key', '-set_serial', serial, '-days', '7300', '-out', `${name}.crt`);
  };
  leaf('app', keys.app, '/C=CN/O=测试餐厅/CN=2088000000000001', '0x20200514e63c2fe04d538716fe21358b');
  leaf('alipay', keys.alipay, '/C=CN/O=支付宝/CN=支付宝(测试)', '0x80000000000000000000000000000001');
  const pem = (name) => readFileSync(join(dir, `${name}.crt`)).toString();
  const made = { app: pem('app'), alipay: pem('alipay'), root: ['one', 'curve', 'two'].map(pem).join('\n') };
  rmSync(dir, { recursive: true });
  return made;
}
function sn(pem) {
  const certificate = new X509Certificate(pem);
  const issuer = certificate.issuer.split('\n').reverse().join(',');
  return createHash('md5').update(issuer + BigInt(`0x${certificate.serialNumber}`).toString(10)).digest('hex');
}
function withSn(pem) {
  const all = pem.match(/-----BEGIN[^]+?END CERTIFICATE-----/g);
  const isRsa = (one) => new X509Certificate(one).publicKey.asymmetricKeyType === 'rsa';
  return { pem, sn: all.filter(isRsa).map(sn).join('_') };
}
const pems = old.certificates ? Object.fromEntries(Object.entries(old.certificates).map(([name, { pem }]) => [name, pem])) : certificates();
const certs = Object.fromEntries(Object.entries(pems).map(([name, pem]) => [name, withSn(pem)]));

const appId = '2021000000000001';
const sellerId = '2088000000000001';
const number = '019300000000700080000000000000ab';
const refundNumber = '019300000000700080000000000000cd';
const tradeNo = '2026112122001400000000000001';

const canonical = (parameters) => Object.keys(parameters).sort().map((name) => `${name}=${parameters[name]}`).join('&');

// Requests
const common = (method) => ({ app_id: appId, method, format: 'JSON', charset: 'utf-8', sign_type: 'RSA2', timestamp: '2026-11-21 12:00:00', version: '1.0' });
const content = { out_trade_no: number, product_code: 'FAST_INSTANT_TRADE_PAY', subject: '饺子 + 面 100%', time_expire: '2026-11-21 12:15:00', total_amount: '19.80' };
const notify = { notify_url: 'https://shop.example/v1/callbacks/1/alipay' };
const requests = [
  { ...common('alipay.trade.page.pay'), ...notify, biz_content: JSON.stringify(content) },
  { ...common('alipay.trade.query'), biz_content: JSON.stringify({ out_trade_no: number }) },
  { ...common('alipay.trade.page.pay'), ...notify, app_cert_sn: certs.app.sn, alipay_root_cert_sn: certs.root.sn, biz_content: JSON.stringify(content) },
].map((parameters) => ({ parameters, canonical: canonical(parameters), sign: sign(keys.app, canonical(parameters)) }));

// Notices
const paid = {
  notify_time: '2026-11-21 12:01:00', notify_type: 'trade_status_sync', notify_id: '2026112100222120100000000001', sign_type: 'RSA2',
  charset: 'utf-8', version: '1.0', app_id: appId, auth_app_id: appId, seller_id: sellerId, buyer_id: '2088000000000009',
  trade_no: tradeNo, out_trade_no: number, trade_status: 'TRADE_SUCCESS', total_amount: '19.80', receipt_amount: '19.80',
  subject: '饺子 + 面 100% & 1=1', body: 'a+b%2B c&d=e\n"引号"', fund_bill_list: '[{"amount":"19.80","fundChannel":"ALIPAYACCOUNT"}]',
  gmt_create: '2026-11-21 12:00:30', gmt_payment: '2026-11-21 12:00:59',
};
const unsigned = new Set(['sign', 'sign_type']);
const without = (fields, names) => Object.fromEntries(Object.entries(fields).filter(([name]) => !names.has(name)));
const form = (fields, signature) => new URLSearchParams({ ...fields, sign: signature }).toString();
const notice = (fields, key = keys.alipay, dropped = unsigned) => form(fields, sign(key, canonical(without(fields, dropped))));
const refunded = { ...paid, out_biz_no: refundNumber, refund_fee: '5.00', gmt_refund: '2026-11-21 13:00:00.123' };
const says = { paid: { number, transaction: tradeNo, amount: '19.80' } };
const good = notice(paid);
// By hand, because Node writes no GBK: 店 is b5ea.
const gbk = () => {
  const fields = { ...without(paid, new Set(['body', 'fund_bill_list'])), charset: 'GBK', subject: 'SUBJECT' };
  const [before, after] = canonical(without(fields, unsigned)).split('SUBJECT');
  const signature = sign(keys.alipay, Buffer.concat([Buffer.from(before), Buffer.from([0xb5, 0xea]), Buffer.from(after)]));
  return form(fields, signature).replace('SUBJECT', '%B5%EA');
};
const notices = [
  { name: 'paid', body: good, says },
  { name: 'paid, blanks as %20', body: good.replaceAll('+', '%20'), says },
  { name: 'finished', body: notice({ ...paid, trade_status: 'TRADE_FINISHED' }), says },
  { name: 'in GBK', body: gbk(), says },
  { name: 'with an empty field that is signed', body: notice({ ...paid, passback_params: '' }), says },
  { name: 'with an empty field that is not signed', body: notice({ ...paid, passback_params: '' }, keys.alipay, new Set([...unsigned, 'passback_params'])), says },
  { name: 'with a certificate number that is signed', body: notice({ ...paid, alipay_cert_sn: certs.alipay.sn }), says },
  { name: 'with a certificate number that is not signed', body: notice({ ...paid, alipay_cert_sn: certs.alipay.sn }, keys.alipay, new Set([...unsigned, 'alipay_cert_sn'])), says },
  { name: 'a part refunded, by us', body: notice(refunded), says: { refund: refundNumber } },
  { name: 'a part refunded, in a second round', body: notice({ ...refunded, out_biz_no: `${refundNumber}-2` }), says: { refund: `${refundNumber}-2` } },
  { name: 'all refunded, by us', body: notice({ ...refunded, trade_status: 'TRADE_CLOSED', refund_fee: '19.80' }), says: { refund: refundNumber } },
  { name: 'a part refunded, by others', body: notice({ ...refunded, out_biz_no: 'console-1' }), says: 'nothing' },
  { name: 'a part refunded, nobody knows by whom', body: notice(without(refunded, new Set(['out_biz_no', 'gmt_refund']))), says: 'nothing' },
  { name: 'closed', body: notice({ ...paid, trade_status: 'TRADE_CLOSED' }), says: 'nothing' },
  { name: 'waiting', body: notice({ ...paid, trade_status: 'WAIT_BUYER_PAY' }), says: 'nothing' },
  { name: 'of an agreement', body: notice({ notify_id: '1', notify_type: 'dut_user_sign', sign_type: 'RSA2', app_id: appId }), says: 'nothing' },
  { name: 'a state nobody knows', body: notice({ ...paid, trade_status: 'TRADE_PENDING' }), says: 'strange' },
  { name: 'an amount that is none', body: notice({ ...paid, total_amount: '19.805' }), says: 'strange' },
  { name: 'no amount', body: notice(without(paid, new Set(['total_amount']))), says: 'strange' },
  { name: 'no number', body: notice(without(paid, new Set(['out_trade_no']))), says: 'strange' },
  { name: 'no id', body: notice(without(paid, new Set(['notify_id']))), says: 'strange' },
  { name: 'another app', body: notice({ ...paid, app_id: '2021000000000002' }), says: 'not_ours' },
  { name: 'another seller', body: notice({ ...paid, seller_id: '2088000000000002' }), says: 'not_ours' },
  { name: 'no seller', body: notice(without(paid, new Set(['seller_id']))), says: 'not_ours' },
  { name: 'forged', body: notice(paid, keys.stranger), says: 'unverified' },
  { name: 'signed by ourselves', body: notice(paid, keys.app), says: 'unverified' },
  { name: 'another amount put in', body: good.replace('total_amount=19.80', 'total_amount=0.01'), says: 'unverified' },
  { name: 'another amount put in as well', body: `${good}&total_amount=0.01`, says: 'unverified' },
  { name: 'a field added', body: `${good}&extra=1`, says: 'unverified' },
  { name: 'decoded twice', body: form(paid, sign(keys.alipay, decodeURIComponent(canonical(without({ ...paid, subject: '', body: 'a%2B' }, unsigned))))), says: 'unverified' },
  { name: 'with the type of signature signed', body: notice(paid, keys.alipay, new Set(['sign'])), says: 'unverified' },
  { name: 'RSA', body: notice({ ...paid, sign_type: 'RSA' }), says: 'unverified' },
  { name: 'not signed', body: new URLSearchParams(paid).toString(), says: 'unverified' },
  { name: 'empty', body: '', says: 'unverified' },
];

// Answers. `signed` is what is signed, where the answer is good.
const answer = '{"code":"10000","msg":"Success","app":"x"}';
const q = 'alipay_trade_query_response';
const s = (text, key = keys.alipay) => JSON.stringify(sign(key, text));
const tricky = [
  answer,
  '{ "code" : "10000" , "msg":"Success", "list":[{"a":{"b":"}"}},[[]],"]"], "n":1.50, "z":null }',
  '{"code":"10000","msg":"a \\"quoted\\" \\\\","x":"}\\\\\\"}{","sign":"not this one","alipay_trade_query_response":{"code":"x"}}',
  '{"code":"10000","msg":"成功，支付宝 \\u6210\\u529f 😀","out_trade_no":"1"}',
  '{"code":"10000","msg":"Success","qr_code":"https:\\/\\/qr.alipay.com\\/bax"}',
  '"c2VjcmV0"',
];
const responses = [
  ...tricky.map((text, index) => ({ name: `tricky ${index}, sign behind`, body: `{"${q}":${text},"sign":${s(text)}}`, signed: text })),
  ...tricky.map((text, index) => ({ name: `tricky ${index}, sign in front`, body: `{"sign":${s(text)},"${q}":${text}}`, signed: text })),
  { name: 'blanks around', body: ` {\n "${q}" :\t${answer} , "sign" : ${s(answer)} }\r\n`, signed: answer },
  { name: 'with an escaped name', body: `{"alipay_trade\\u005fquery_response":${answer},"sign":${s(answer)}}`, signed: answer },
  { name: 'other members', body: `{"x":{"${q}":{}},"${q}":${answer},"request_id":1,"sign":${s(answer)}}`, signed: answer },
  { name: 'an error', body: `{"error_response":${answer},"sign":${s(answer)}}`, signed: answer },
  { name: 'slashes escaped after it was signed', body: `{"${q}":{"url":"https:\\/\\/a\\/b"},"sign":${s('{"url":"https://a/b"}')}}`, signed: '{"url":"https://a/b"}' },
  { name: 'the number of the certificate', body: `{"${q}":${answer},"alipay_cert_sn":"${certs.alipay.sn}","sign":${s(answer)}}`, signed: answer },
  { name: 'not signed', body: `{"${q}":${answer}}` },
  { name: 'an error that is not signed', body: '{"error_response":{"code":"40002","msg":"Invalid Arguments","sub_code":"isv.invalid-signature"}}' },
  { name: 'forged', body: `{"${q}":${answer},"sign":${s(answer, keys.stranger)}}` },
  { name: 'signed by ourselves', body: `{"${q}":${answer},"sign":${s(answer, keys.app)}}` },
  { name: 'another text', body: `{"${q}":${answer.replace('Success', 'success')},"sign":${s(answer)}}` },
  { name: 'the same, written anew', body: `{"${q}":${answer.replaceAll(',', ', ')},"sign":${s(answer)}}` },
  { name: 'the signature of nothing', body: `{"${q}":${answer},"sign":${s('')}}` },
  { name: 'an empty signature', body: `{"${q}":${answer},"sign":""}` },
  { name: 'a signature that is no text', body: `{"${q}":${answer},"sign":[${s(answer)}]}` },
  { name: 'twice', body: `{"${q}":${answer},"${q}":${answer},"sign":${s(answer)}}` },
  { name: 'twice, once with an escaped name', body: `{"${q}":${answer},"alipay_trade\\u005fquery_response":{},"sign":${s(answer)}}` },
  { name: 'signed twice', body: `{"${q}":${answer},"sign":${s(answer)},"sign":${s(answer)}}` },
  { name: 'an answer and an error', body: `{"${q}":${answer},"error_response":{},"sign":${s(answer)}}` },
  { name: 'to another method', body: `{"alipay_trade_close_response":${answer},"sign":${s(answer)}}` },
  { name: 'inside of another', body: `{"x":{"${q}":${answer},"sign":${s(answer)}}}` },
  { name: 'cut off', body: `{"${q}":${answer},"sign":${s(answer)}` },
  { name: 'with more behind', body: `{"${q}":${answer},"sign":${s(answer)}}{}` },
  { name: 'too deep', body: `{"${q}":${'['.repeat(5000)}${']'.repeat(5000)},"sign":${s('x')}}` },
  { name: 'no object', body: `["${q}"]` },
  { name: 'empty', body: '' },
];

const vectors = {
  made_by: 'tests/vectors/alipay.mjs', ...Object.fromEntries(Object.entries(keys).map(([name, key]) => [name, shown(key)])),
  certificates: certs, app_id: appId, seller_id: sellerId, number, refund_number: refundNumber, trade_no: tradeNo,
  requests, notices, responses,
};
writeFileSync(file, `${JSON.stringify(vectors, null, 1)}\n`);
