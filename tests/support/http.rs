//! HTTP/1.1 over a plain socket: one connection a request, so that a test controls every byte it
//! sends and sees every byte that comes back, also from a server that closes early.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// No answer of the server may take longer.
pub(crate) const ANSWER_DEADLINE: Duration = Duration::from_secs(90);

/// What came back.
#[derive(Debug, Clone, Default)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The headers, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The whole body.
    pub(crate) body: Vec<u8>,
}

impl Response {
    /// The header `name` (in lower case).
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    /// The ETag without its quotes.
    pub(crate) fn etag(&self) -> String {
        let etag = self.header("etag").unwrap_or_default();
        etag.trim_matches('"').to_owned()
    }

    /// S3's error code, or nothing if the body is none.
    pub(crate) fn code(&self) -> &str {
        let text = std::str::from_utf8(&self.body).unwrap_or_default();
        let after = text.split_once("<Code>").map_or("", |(_, after)| after);
        after.split_once("</Code>").map_or("", |(code, _)| code)
    }

    /// The body as far as it can be shown.
    pub(crate) fn shown(&self) -> String {
        let text = String::from_utf8_lossy(&self.body[..self.body.len().min(600)]);
        format!("{} {:?} {text}", self.status, self.headers)
    }
}

/// Connects.
pub(crate) fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, Duration::from_secs(10))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
    stream.set_write_timeout(Some(ANSWER_DEADLINE))?;
    Ok(stream)
}

/// Sends `request`, head and body, and reads the answer. A server may answer and close before it
/// has taken the whole body: then its answer counts.
pub(crate) fn exchange(address: SocketAddr, method: &str, request: &[u8]) -> io::Result<Response> {
    let mut stream = connect(address)?;
    let sent = stream.write_all(request);
    match read_response(&mut BufReader::new(&stream), method) {
        Ok(response) => Ok(response),
        Err(error) => Err(sent.err().unwrap_or(error)),
    }
}

/// Reads one answer to a request with `method`.
pub(crate) fn read_response(reader: &mut impl BufRead, method: &str) -> io::Result<Response> {
    loop {
        let response = read_head(reader)?;
        if response.status >= 200 {
            return read_body(reader, method, response);
        }
    }
}

fn read_head(reader: &mut impl BufRead) -> io::Result<Response> {
    let status_line = read_line(reader)?;
    let status = status_line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| invalid(format!("no status line: `{status_line}`")))?;
    let mut headers = Vec::new();
    loop {
        let line = read_line(reader)?;
        if line.is_empty() {
            return Ok(Response {
                status,
                headers,
                body: Vec::new(),
            });
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| invalid(format!("no header: `{line}`")))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn read_body(
    reader: &mut impl BufRead,
    method: &str,
    mut response: Response,
) -> io::Result<Response> {
    if method == "HEAD" || response.status == 204 || response.status == 304 {
        return Ok(response);
    }
    let length = response.header("content-length").map(str::to_owned);
    if let Some(length) = length {
        let length: u64 = length.parse().map_err(|_| invalid("no length".into()))?;
        let read = reader.take(length).read_to_end(&mut response.body)?;
        if read as u64 != length {
            return Err(invalid(format!("{read} of {length} bytes came")));
        }
    } else if response.header("transfer-encoding") == Some("chunked") {
        read_chunks(reader, &mut response.body)?;
    } else {
        reader.read_to_end(&mut response.body)?;
    }
    Ok(response)
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let line = read_line(reader)?;
        let length = u64::from_str_radix(line.split(';').next().unwrap_or_default(), 16)
            .map_err(|_| invalid(format!("no chunk length: `{line}`")))?;
        if length == 0 {
            while !read_line(reader)?.is_empty() {}
            return Ok(());
        }
        if reader.take(length).read_to_end(body)? as u64 != length {
            return Err(invalid("a chunk was cut".into()));
        }
        read_line(reader)?;
    }
}

fn read_line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.take(64 << 10).read_until(b'\n', &mut line)?;
    if line.pop() != Some(b'\n') {
        return Err(invalid("the connection was closed".into()));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    String::from_utf8(line).map_err(|_| invalid("a header is not UTF-8".into()))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
