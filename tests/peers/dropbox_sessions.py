"""The upload sessions of the fake of Dropbox: contents of files that come in parts, in order or side by side."""

from dropbox_tree import BLOCK


class SessionProblem(Exception):
    """Why an upload session can't go on: the tags of an `UploadSessionLookupError` of Dropbox."""


class Session:
    """An upload session: what has come of the content of a file."""

    def __init__(self, is_concurrent):
        self.is_concurrent = is_concurrent
        self.is_closed = False
        self.data = bytearray()
        # Of a concurrent session, by where they start.
        self.parts = {}

    @property
    def size(self):
        return len(self.data) + sum(len(part) for part in self.parts.values())

    def append(self, data, offset, close):
        if self.is_concurrent:
            if offset % BLOCK:
                raise SessionProblem("concurrent_session_invalid_offset")
            if len(data) % BLOCK and not close:
                raise SessionProblem("concurrent_session_invalid_data_size")
        if self.is_closed and not self.is_concurrent:
            raise SessionProblem("closed")
        if self.is_concurrent:
            self.parts[offset] = data
        else:
            self.expect(offset)
            self.data += data
        self.is_closed |= close

    def expect(self, offset):
        if offset != self.size:
            raise SessionProblem("incorrect_offset", {"correct_offset": self.size})

    def join(self):
        """Whether all parts of a concurrent session fit together; then they are one."""
        whole = bytearray()
        for offset in sorted(self.parts):
            if offset != len(whole):
                return False
            whole += self.parts[offset]
        self.data += whole
        self.parts.clear()
        return True
