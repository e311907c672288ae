"""The `#` of a log's head put back: Markdown takes it for a heading, and a copy has the words alone."""

from __future__ import annotations

import re

_HEAD = re.compile(
    r"(?:A fatal error has been detected by|There is insufficient memory for the Java Runtime|An unexpected error has "
    r"been detected by|(?:SIG[A-Z]{2,6}|EXCEPTION_\w{3,40}|INVALID|\S[\w ]{0,60}) \(0x[0-9a-fA-F]{1,16}\) at pc=0x|"
    r"(?:Internal Error|Out of Memory Error|Error) \([^()]{1,300}\),? *pid=|JRE version:|Java VM:|Problematic frame:|"
    r"Core dump will be written|Failed to write core dump|No core dump will be written|Native memory allocation \(|"
    r"(?:An error report file|Compiler replay data)\b.{0,60} saved as|If you would like to submit a bug report|"
    r"The crash happened outside the Java Virtual|See problematic frame for where|Possible (?:reasons|solutions):?$|"
    r"Cannot create .{1,60}thread\. Out of system resources|This output file may be truncated|"
    r"(?:The system is out of physical RAM|Reduce memory load on|Increase physical memory or|Check if swap backing|"
    r"Decrease (?:Java|number)|Set larger code cache|Use 64 bit Java|In 32 bit mode|The process is running with|"
    r"JVM is running with|This process is running with))"
)
_NEXT = re.compile(r"Problematic frame:$|saved as:?$|please visit:$")
_ERROR = re.compile(r"Internal Error \(")
_VERSION = re.compile(r"(?:# *)?JRE version:")
_OF_A_FRAME = re.compile(r"[VCvJjA] ")


def restored(lines: list[str]) -> tuple[list[str], int]:
    """The lines, those of a head that lost it with `# `, and how many. Nothing is done to a head that has it."""
    if any(line.startswith("#") and _HEAD.match(line[1:].strip()) for line in lines):
        return lines, 0
    made: list[str] = []
    count = 0
    following = message = False
    for line in lines:
        text = line.strip()
        is_head = _HEAD.match(text) is not None
        if text and (is_head or following or message):
            message = _ERROR.match(text) is not None or (message and _VERSION.match(text) is None)
            following = _NEXT.search(text) is not None and not following
            count += 1
            made.append(f"#  {text}" if message or not is_head else f"# {text}")
            continue
        made.append(line)
    return made, count
