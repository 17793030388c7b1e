CREATE INDEX merchants_webhook_index ON merchants (id) WHERE webhook_url IS NOT NULL;
