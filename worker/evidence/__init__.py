"""Evidence: the pictures behind the verdicts, in a folder that people browse and tools copy.

`FOLDER/LINE/CAMERA/YYYY-MM-DD/HHMMSS.mmm_VERDICT_FRAME.json` and, beside it under the same name, the frame as it came
(`.jpg`, `.png`, …), `.overlay.jpg` and `.label_map.png`. Workers write, their supervisor deletes.
"""
