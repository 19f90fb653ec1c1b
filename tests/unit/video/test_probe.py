"""Opening says what is wrong with a file; probing says what is in it."""

import os
from fractions import Fraction

import av
import numpy as np
import pytest

from vcap.errors import VideoError
from vcap.video.probe import decoder_version, probe


def write_sound(path):
    """A file with one audio stream and nothing else."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        silence = np.zeros((1, 1024), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout="mono")
        frame.rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def test_a_probe_tells_what_the_header_says(make_video):
    info = probe(make_video(number=45))
    assert (info.width, info.height, info.rotation, info.codec) == (64, 48, 0, "h264")
    assert (info.duration_seconds, info.frames_per_second) == (1.5, 30.0)
    assert (info.num_frames_in_header, info.stream_index, info.has_audio) == (45, 0, False)
    assert (info.pix_fmt, info.is_image) == ("yuv420p", False)


def test_a_probe_gives_the_displayed_size(make_video):
    info = probe(make_video(aspect=Fraction(3, 2)))
    assert (info.width, info.height) == (96, 48)


def test_the_decoder_names_its_build():
    assert av.__version__ in decoder_version()


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(VideoError, match=r"gone\.mp4: no such file") as caught:
        probe(tmp_path / "gone.mp4")
    assert caught.value.hint == f"ls {tmp_path}"


def test_a_folder_is_no_video(tmp_path):
    with pytest.raises(VideoError, match="a folder, not a video"):
        probe(tmp_path)


def test_a_pipe_is_refused_before_anyone_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(VideoError, match="neither a file nor a folder"):
        probe(tmp_path / "pipe")


def test_an_empty_file_is_said_to_be_empty(tmp_path):
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="the file is empty"):
        probe(tmp_path / "empty.mp4")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_names_the_permission(make_video):
    path = make_video()
    path.chmod(0)
    with pytest.raises(VideoError, match="no permission"):
        probe(path)


def test_a_refused_permission_is_told_with_the_command_that_gives_it(make_video, monkeypatch):
    path = make_video()

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(VideoError, match="no permission to read it") as caught:
        probe(path)
    assert caught.value.hint == f"chmod u+r {path}"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("text.mp4", b"plain words\n" * 50),
        ("notes.txt", b"plain words\n" * 50),
        ("list.m3u8", b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nx.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile 'x.mp4'\n"),
        ("one.srt", b"1\n00:00:00,000 --> 00:00:01,000\nhello\n"),
        ("zeros.mp4", bytes(5000)),
        ("long\u00e4\udc80.mp4", b"\0\0\0\x18ftypmp42"),
    ],
)
def test_what_is_no_video_is_refused_whatever_its_name(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / name)
    assert name in str(caught.value)


def test_sound_alone_is_no_video(tmp_path):
    write_sound(tmp_path / "song.mp4")
    with pytest.raises(VideoError, match="no video in it, only audio"):
        probe(tmp_path / "song.mp4")


def test_a_stream_that_is_no_video_is_answered_with_those_that_are(make_video):
    with pytest.raises(VideoError, match="stream 4 is no video; video streams: 0") as caught:
        probe(make_video(), stream=4)
    assert caught.value.hint == "--stream 0"


def test_a_name_is_never_taken_for_a_pattern_or_a_protocol(make_video):
    for name in ["pipe:0.mp4", "concat:a|b.mp4", "clip %03d #1?.mp4", "-i.mp4"]:
        assert probe(make_video(name, number=2)).width == 64


def test_a_hint_can_be_pasted_for_any_name(tmp_path):
    (tmp_path / "my file.mp4").write_bytes(b"words" * 100)
    with pytest.raises(VideoError) as caught:
        probe(tmp_path / "my file.mp4")
    assert caught.value.hint == f"ffprobe '{tmp_path}/my file.mp4'"
