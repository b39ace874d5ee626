"""Your own photo: a face found, cut as FFHQ's are, and put back after the edit.

geometry.py   FFHQ's crop from five landmarks
yunet.py      faces and landmarks by OpenCV
align.py      the crop, and the way back
"""
