"""Sending one request, and repeating those that are safe to repeat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from avatarkit.errors import (
    AvatarKitError,
    DeadlineExceeded,
    NotSent,
    ProviderError,
    RateLimited,
    TransportError,
    UnexpectedResponse,
)
from avatarkit.events import RequestDone, RetryScheduled, Throttled
from avatarkit.models import RawResponse
from avatarkit.protocol.codec import encode
from avatarkit.protocol.endpoint import Effect, Endpoint, Request
from avatarkit.protocol.outcome import repeatable
from avatarkit.settings import DEFAULT_OPTIONS, CallOptions
from avatarkit.transport.credentials import Renewal
from avatarkit.transport.patience import Patience, patience_for
from avatarkit.transport.session import Sessions, send_mark

if TYPE_CHECKING:
    import aiohttp

    from avatarkit.transport.account import Account

T = TypeVar("T")
_LARGEST = 32 * 1024 * 1024  # no JSON answer of any provider comes near
_SHORT = 7  # digits of a Content-Length that is surely below it
_JSON: Mapping[str, str] = {"Content-Type": "application/json"}
_NOTHING: Mapping[str, str] = {}


class Driver:
    """Sends an account's requests on one running loop."""

    def __init__(self, account: Account, sessions: Sessions) -> None:
        from aiohttp import ClientTimeout
        from aiohttp.hdrs import CONTENT_LENGTH
        from yarl import URL

        self._account = account
        self._sessions = sessions
        self._url = URL
        self._length = CONTENT_LENGTH
        self._prefix = account.base_url
        self._proxy = account.network.proxy_for(account.base_url)
        connect = account.timeouts.connect
        self._timeout = ClientTimeout(total=account.timeouts.request, sock_connect=connect)
        self._submit_timeout = ClientTimeout(total=account.timeouts.submit, sock_connect=connect)
        self._unbounded = ClientTimeout(total=None, sock_connect=connect)
        self._silence = account.timeouts.read
        self.in_progress = account.network.connections
        self._constant = account.auth.constant
        self.limiter = account.budget.limiter(account.rate, self.in_progress)
        self.renewal = Renewal(account, self)

    # -- one request

    async def send(
        self,
        request: Request[Any],
        options: CallOptions = DEFAULT_OPTIONS,
        *,
        attempt: int = 1,
        body: bytes | None = None,
        seconds: float | None = None,
        bare: bool = False,
        take: Callable[[aiohttp.ClientResponse], Awaitable[RawResponse]] | None = None,
    ) -> RawResponse:
        """Send *request* once and give the raw answer, whatever its status.

        *seconds* shortens its time; a *bare* request carries no credentials; *take* reads the answer's body itself.
        While a large streamed body goes out, only silence is counted; the time for the answer begins at its end.

        Raises:
            NotSent: surely nothing went out.
            TransportError: no whole answer came back.

        """
        endpoint = request.endpoint
        submits = endpoint.effect is Effect.SUBMIT
        session = self._sessions.submit if submits else self._sessions.api
        headers, query = _NOTHING, request.query
        if not (self._constant or bare):
            headers, query, seconds = await self._credentials(request, seconds)
        if body is None and request.body is not None:
            body = encode(request.body)
        if body is not None and request.stream is None:
            headers = {**headers, **_JSON} if headers else _JSON
        if request.headers:
            headers = {**headers, **request.headers}
        if options.headers:
            headers = {**_extra(options), **headers}
        timeout = self._submit_timeout if submits else self._timeout
        # Whoever keeps a ledger concludes from the time alone that a request is no longer on its way.
        patience = None if options.gate is not None else self._patience(request, timeout, seconds)
        if patience is not None:
            timeout = self._unbounded
        elif seconds is not None and seconds < (timeout.total or seconds):
            timeout = attrs.evolve(timeout, total=seconds)
        path = f"{endpoint.path}?{query}" if query else endpoint.path
        if self._account.turnstile is not None:
            await self._account.turnstile()
        observed = bool(self._account.hooks) or self._account.log_requests
        began = self._account.clock.monotonic() if observed else 0.0
        try:
            exchange = self._exchange(
                session.request(
                    endpoint.method,
                    self._url(self._prefix + path, encoded=True),
                    data=patience.payload() if patience else _data(body, request.stream),
                    headers=headers or None,
                    timeout=timeout,
                    allow_redirects=False,
                    proxy=self._proxy,
                ),
                take,
            )
            response = await (exchange if patience is None else patience.over(exchange))
        except AvatarKitError as error:
            self._observe(endpoint, attempt, 0, began, str(error))
            raise
        except Exception as error:  # noqa: BLE001 - _failure raises again what is none of the network's
            failure = self._failure(endpoint, error)
            self._observe(endpoint, attempt, 0, began, str(failure))
            # aiohttp's errors may quote a proxy's URL with its password; such a cause is not shown.
            clean = self._account.scrub(f"{error!r} {error}") == f"{error!r} {error}"
            raise failure from (error if clean else None)
        if observed:
            self._observe(endpoint, attempt, response.status, began, "")
        return response

    def _patience(
        self, request: Request[Any], timeout: aiohttp.ClientTimeout, seconds: float | None
    ) -> Patience | None:
        answer = timeout.total or 0.0
        return patience_for(request.stream, silence=self._silence, answer=answer, limit=seconds)

    async def _exchange(
        self,
        sending: Awaitable[aiohttp.ClientResponse],
        take: Callable[[aiohttp.ClientResponse], Awaitable[RawResponse]] | None,
    ) -> RawResponse:
        answer = await sending
        # Read to its end, an answer gives its connection back by itself; cut short, it must be closed.
        try:
            if take is not None:
                return await take(answer)
            length = answer.headers.get(self._length)
            whole = length is not None and len(length) <= _SHORT
            content = await (answer.read() if whole else small_body(answer))
            return RawResponse(answer.status, answer.headers, content)
        except BaseException:
            answer.close()
            raise

    async def _credentials(
        self, request: Request[Any], seconds: float | None
    ) -> tuple[Mapping[str, str], str, float | None]:
        """Headers and query string of *request*, and what is left of its *seconds*.

        Raises NotSent when there are no fresh credentials within them.
        """
        account = self._account
        now, began = account.clock.time(), account.clock.monotonic()
        if account.auth.renewal(now) is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self.renewal.fresh()
                    # All that waited for it would go out in the same moment: their turns are long past.
                    await account.clock.sleep(self.limiter.claim())
            except TimeoutError as error:
                if isinstance(error, AvatarKitError):
                    raise
                raise NotSent("the time given ran out before there were fresh credentials") from None
            now = account.clock.time()
            if seconds is not None:
                seconds = max(0.001, seconds - (account.clock.monotonic() - began))
        extra = account.auth.query(now)
        query = f"{request.query}&{extra}" if request.query and extra else request.query or extra
        return account.auth.headers(now), query, seconds

    def _failure(self, endpoint: Endpoint, error: Exception) -> TransportError:
        import aiohttp

        # A connection that could not be made, as against one that was lost: nothing went out.
        unsent = isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError)
        mark = send_mark.get()
        if mark is not None:
            unsent = not mark.sent
        elif not isinstance(error, aiohttp.ClientError | OSError | TimeoutError):
            raise error
        what = "timed out" if isinstance(error, TimeoutError) else type(error).__name__
        detail = self._account.scrub(str(error))
        text = f"{self._account.spec.name} {endpoint.name}: {what}" + (f": {detail}" if detail else "")
        cls = NotSent if unsent else TransportError
        return cls(text, provider=self._account.spec.name, endpoint=endpoint.name)

    def _observe(self, endpoint: Endpoint, attempt: int, status: int, began: float, error: str) -> None:
        account = self._account
        if account.hooks or account.log_requests:
            account.emit(
                RequestDone(
                    provider=account.spec.name,
                    endpoint=endpoint.name,
                    method=endpoint.method,
                    path=endpoint.path,
                    attempt=attempt,
                    status=status,
                    seconds=account.clock.monotonic() - began,
                    error=error,
                )
            )

    async def turn(self, endpoint: Endpoint, priority: int) -> None:
        """Wait for this request's turn; ``limiter.done()`` must follow."""
        if not self.limiter.try_start(priority):
            waited = await self.limiter.start(priority)
            if waited > 0.001 and self._account.hooks:
                self._account.emit(
                    Throttled(
                        provider=self._account.spec.name, endpoint=endpoint.name, why="rate", seconds=waited
                    )
                )

    # -- requests that are safe to repeat

    async def call(self, request: Request[T], options: CallOptions = DEFAULT_OPTIONS) -> T:
        """Send a request that is safe to repeat until it is answered, within the retry policy.

        Raises:
            ProviderError: the provider refused.
            TransportError: no usable answer after all retries.
            DeadlineExceeded: the time given for the call ran out.

        """
        seconds = options.timeout or self._account.timeouts.call
        if seconds is None:
            return await self._repeat(request, options)
        try:
            async with asyncio.timeout(seconds):
                return await self._repeat(request, options)
        except TimeoutError as error:
            if isinstance(error, AvatarKitError):
                raise
            name = f"{self._account.spec.name} {request.endpoint.name}"
            raise DeadlineExceeded(f"{name}: no answer within {seconds:g} s") from None

    async def _repeat(self, request: Request[T], options: CallOptions) -> T:
        account = self._account
        attempts = account.retry.attempts if options.retries is None else options.retries + 1
        attempt, cured = 1, False
        while True:
            await self.turn(request.endpoint, 1)
            began = account.clock.monotonic()
            try:
                return request.read(await self.send(request, options, attempt=attempt))
            except AvatarKitError as error:
                delay = self._delay(error, attempt) if attempt < attempts and repeatable(error) else None
                if delay is None and not cured and self.renewal.cures(error, since=began):
                    delay, cured = 0.0, True
                if delay is None:
                    raise
                if isinstance(error, RateLimited):
                    self.limiter.cool_down(delay)
                reason = str(error)
            finally:
                self.limiter.done()
            account.emit(
                RetryScheduled(
                    provider=account.spec.name,
                    endpoint=request.endpoint.name,
                    attempt=attempt,
                    delay=delay,
                    reason=reason,
                )
            )
            await account.clock.sleep(delay)
            attempt += 1

    def _delay(self, error: AvatarKitError, attempt: int) -> float | None:
        """Seconds before the next attempt; None when the provider asks for more patience than the policy has."""
        policy = self._account.retry
        asked = error.retry_after if isinstance(error, ProviderError) else None
        if asked is not None:
            return asked if asked <= policy.max_delay else None
        ceiling = min(policy.max_delay, policy.first_delay * 2.0 ** (attempt - 1))
        return ceiling * (0.5 + 0.5 * self._account.random.random())

    def backoff(self, attempt: int) -> float:
        """Seconds before repeating a submission that surely was not sent."""
        return self._delay(AvatarKitError(), attempt) or 0.0


def _extra(options: CallOptions) -> dict[str, str]:
    return {name: value for name, value in options.headers.items() if name.lower() != "authorization"}


def _data(body: bytes | None, stream: Any) -> Any:
    if stream is None:
        return body
    from avatarkit.transport.payload import BodyPayload

    return BodyPayload(stream)


async def small_body(answer: Any) -> bytes:
    """The body of an answer that is large or does not say how large it is."""
    pieces = bytearray()
    async for piece in answer.content.iter_any():
        pieces += piece
        if len(pieces) > _LARGEST:
            break
    if len(pieces) > _LARGEST or (answer.content_length or 0) > _LARGEST:
        raise UnexpectedResponse("the answer is too large to be one", http_status=answer.status)
    return bytes(pieces)
