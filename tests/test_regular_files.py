"""Tests of what is looked at before a file is opened: plain files only, and a cheap sample of their content."""

import os
import socket

import pytest

from mdissect.files import content_sample, regular_file


def a_pipe(path):
    os.mkfifo(path)


def a_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        os.chdir(path.parent)  # names of sockets are short
        made.bind(path.name)


def a_circle(path):
    path.symlink_to(path)


def a_circle_of_two(path):
    path.symlink_to(path.with_name("other"))
    path.with_name("other").symlink_to(path)


NO_FILES = {
    "a named pipe, not a file": a_pipe,
    "a socket, not a file": a_socket,
    "a folder, not a file": lambda path: path.mkdir(),
    "a device, not a file": lambda path: path.symlink_to("/dev/zero"),
    "Too many levels of symbolic links": a_circle,
    "symbolic links": a_circle_of_two,
    "No such file or directory": lambda path: path.symlink_to(path.with_name("gone")),
    "No such file": lambda path: None,
}


@pytest.mark.parametrize("reading", [regular_file, content_sample])
@pytest.mark.parametrize(("reason", "make"), NO_FILES.items(), ids=NO_FILES)
def test_what_is_no_file_is_named_and_never_opened(tmp_path, monkeypatch, reading, reason, make):
    monkeypatch.chdir(tmp_path)  # undone at the end, whatever the maker does
    make(tmp_path / "x.png")
    with pytest.raises(OSError, match=rf"{reason}.*x\.png'"):
        reading(tmp_path / "x.png")


def test_a_pipe_behind_a_link_is_one_too(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "x.png").symlink_to(tmp_path / "pipe")
    with pytest.raises(OSError, match="a named pipe"):
        regular_file(tmp_path / "x.png")


def test_plain_files_and_links_to_them_pass(tmp_path):
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert regular_file(tmp_path / "a") == tmp_path / "a"
    assert regular_file(str(tmp_path / "b")) == tmp_path / "b"


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 4097, 9000, 100_000])
def test_a_sample_follows_head_middle_tail_and_size(tmp_path, size):
    path = tmp_path / "a"
    content = bytearray(os.urandom(size))
    path.write_bytes(content)
    found = content_sample(path)
    assert content_sample(path) == found
    for place in (0, size // 2, size - 1) if size else ():
        changed = bytearray(content)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert content_sample(path) != found
    path.write_bytes(content + b"\0")
    assert content_sample(path) != found
