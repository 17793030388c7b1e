//! A listener as tests play one: reads server-sent events by the rules of the format.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::clients::Staff;

const PATIENCE: Duration = Duration::from_secs(20);

/// What arrives.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Frame {
    Comment(String),
    Event { id: i64, kind: String, data: Value },
}

/// An open stream.
pub(crate) struct Stream {
    response: reqwest::Response,
    text: String,
}

impl Stream {
    pub(crate) async fn open(who: &Staff<'_>, last: Option<i64>) -> Self {
        let mut request = who.request(Method::GET, "/events");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last.to_string());
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-store");
        Self { response, text: String::new() }
    }

    /// A stream that begins now, and the number it begins at.
    pub(crate) async fn begin(who: &Staff<'_>) -> (Self, i64) {
        let mut stream = Self::open(who, None).await;
        match stream.frame().await {
            Some(Frame::Event { id, kind, data }) if kind == "hello" && data["seq"] == id => (stream, id),
            other => panic!("{other:?}"),
        }
    }

    /// The next frame; none at the end.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some((frame, rest)) = self.text.split_once("\n\n") {
                let (frame, rest) = (frame.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(parse(&frame));
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk());
            match chunk.await.expect("something arrives in time") {
                Ok(Some(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next event: its number, kind and data. Signs of life are passed over.
    pub(crate) async fn event(&mut self) -> (i64, String, Value) {
        let begun = Instant::now();
        loop {
            match self.frame().await {
                Some(Frame::Comment(_)) => assert!(begun.elapsed() < PATIENCE, "nothing but signs of life"),
                Some(Frame::Event { id, kind, data }) => return (id, kind, data),
                None => panic!("the stream has ended"),
            }
        }
    }

    pub(crate) async fn events(&mut self, count: usize) -> Vec<(i64, String, Value)> {
        let mut events = Vec::new();
        while events.len() < count {
            events.push(self.event().await);
        }
        events
    }

    /// Reads to the end, past signs of life only.
    pub(crate) async fn end(mut self) {
        while let Some(frame) = self.frame().await {
            assert!(matches!(frame, Frame::Comment(_)), "{frame:?}");
        }
    }
}

fn parse(frame: &str) -> Frame {
    let (mut id, mut kind, mut data) = (None, None, None);
    for line in frame.lines() {
        match line.split_once(": ").unwrap() {
            ("", comment) => return Frame::Comment(comment.to_owned()),
            ("id", value) => id = Some(value.parse().unwrap()),
            ("event", value) => kind = Some(value.to_owned()),
            ("data", value) => data = Some(serde_json::from_str(value).unwrap()),
            ("retry", _) => {}
            other => panic!("{other:?}"),
        }
    }
    Frame::Event { id: id.unwrap(), kind: kind.unwrap(), data: data.unwrap() }
}
