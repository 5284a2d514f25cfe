"""YunApi's deprecated voice cloning on ``agent_api.php`` (声音克隆, marked 废弃 by the vendor)."""

from __future__ import annotations

import warnings

from avatarkit.artifacts import AsyncAudio
from avatarkit.models import Snapshot, Voice
from avatarkit.protocol.endpoint import Request
from avatarkit.protocol.speech import spoken_seconds
from avatarkit.providers.yunapi import checks, limits
from avatarkit.providers.yunapi import endpoints as ep
from avatarkit.providers.yunapi import operations as op
from avatarkit.providers.yunapi.refs import PEOPLE, SPEECH, TIMBRE
from avatarkit.providers.yunapi.resources import AsyncYunApiResource
from avatarkit.settings import CallOptions
from avatarkit.task import AsyncTask
from avatarkit.transport.once import once
from avatarkit.transport.sources import Media


def _warn(method: str) -> None:
    text = f"legacy_voices.{method} is deprecated by YunApi: use voices.create_model and audios.tts"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


class AsyncYunApiLegacyVoices(AsyncYunApiResource):
    """The vendor's old voice cloning. **Deprecated** by the vendor; every method warns.

    The way was: :meth:`create_model`, :meth:`create_model_audio` with a recording, then :meth:`create_audio`.
    """

    async def create_model(
        self, model_name: str, *, line_type: str | int | None = None, options: CallOptions | None = None
    ) -> Voice:
        """Make an empty voice model. **Deprecated**; no cost is documented.

        Args:
            model_name: its name.
            line_type: 1 the fast line, 0 the ordinary one; None leaves it to the vendor. The voice's id carries it.

        Raises:
            InvalidRequest, ProviderError: not made.
            SubmissionInDoubt: it may have been made; it was not sent again.

        Source: the vendor's document, 声音克隆(废弃) / 创建音色模型.

        """
        _warn("create_model")
        problems: list[str] = []
        line = checks.line(line_type, problems)
        fields = {"model_name": checks.words("model_name", model_name, problems), "line_type": line}
        checks.settle(problems)
        request: Request[Voice] = ep.form(op.OLD_MODEL, fields, ep.read_old_model(line or ""))
        voice: Voice = await once(self._account, request, options)
        return voice

    async def create_model_audio(
        self,
        model: str | Voice,
        *,
        audio: Media,
        line_type: str | int | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[Voice]:
        """Train a voice model with a recording. **Deprecated. Billed**, as far as is known.

        Args:
            model: what :meth:`create_model` made, or its id.
            audio: the recording, 30 s to 300 s and at most 1 GB, as the page says: its address, or local material.
            line_type: the line of the model, for a bare id.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for videos.

        Source: the vendor's document, 声音克隆(废弃) / 训练模型音色.

        """
        _warn("create_model_audio")
        problems: list[str] = []
        own, line = checks.ref("model", model, PEOPLE, line_type, problems)
        sound = await self._material("audio", audio, limits.TRAINING_SOUND, problems, options)
        checks.settle(problems)
        fields = {"model_id": own, "model_audio_url": await self._url(sound), "line_type": line}
        return await self._act(op.OLD_TRAIN, fields, options)

    async def check_model_audio(
        self, task_id: str, *, line_type: str | int | None = None, options: CallOptions | None = None
    ) -> Snapshot:
        """Look at the training of a voice model once. **Deprecated**; free.

        The page speaks of a model id, its parameter is the task's id, which is what is sent.

        Args:
            task_id: ``timbre:1:33``, or the vendor's own ``33``.
            line_type: the line it was made on, for a bare id.

        Raises:
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 声音克隆(废弃) / 查询音色训练进度.

        """
        _warn("check_model_audio")
        return await self._look(checks.task_ref(task_id, TIMBRE, line_type), options)

    async def create_audio(
        self,
        text: str,
        *,
        voice: str | Voice,
        line_type: str | int | None = None,
        options: CallOptions | None = None,
    ) -> AsyncTask[AsyncAudio]:
        """Speak a text with a trained voice model. **Deprecated. Billed**, as far as is known.

        Args:
            text: what is said (``task_text``).
            voice: a trained model or its id (``people_id``, which is the model's id).
            line_type: the line of the model, for a bare id.

        Raises:
            InvalidRequest, ProviderError, SubmissionInDoubt: as for videos.

        Source: the vendor's document, 声音克隆(废弃) / 创建文本转音频任务.

        """
        _warn("create_audio")
        problems: list[str] = []
        own, line = checks.ref("voice", voice, PEOPLE, line_type, problems)
        fields = {"task_text": checks.words("text", text, problems), "people_id": own, "line_type": line}
        checks.settle(problems)
        return await self._act(op.OLD_SPEECH, fields, options, size=spoken_seconds(text))

    async def check_audio(
        self, task_id: str, *, line_type: str | int | None = None, options: CallOptions | None = None
    ) -> Snapshot:
        """Look at a speech task once. **Deprecated**; free.

        Args:
            task_id: ``speech:1:34``, or the vendor's own ``34``.
            line_type: the line it was made on, for a bare id.

        Raises:
            InvalidRequest, ProviderError, TransportError: no answer.

        Source: the vendor's document, 声音克隆(废弃) / 查询音频合成进度.

        """
        _warn("check_audio")
        return await self._look(checks.task_ref(task_id, SPEECH, line_type), options)
