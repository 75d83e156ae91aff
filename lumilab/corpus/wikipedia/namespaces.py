"""The names before the colon of a link: files and categories, which are no text, and other languages' editions.

MediaWiki accepts the English names in every language, and each language has its own beside them. A dump names those of
its wiki in its `siteinfo`; elsewhere the names of the larger editions stand in.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.sax.saxutils import unescape


def words(text: str) -> frozenset[str]:
    """The words of a list that is written as text."""
    return frozenset(text.split())


# Names of the namespaces -2, 6 (files) and 14 (categories) in the larger Wikipedias, in lower case.
_FILE_NAMES = words(
    """
    file image media datei bild medien fichier médias archivo imagen medio immagine ficheiro imagem
    multimédia файл изображение медиа медіа зображення plik grafika bestand afbeelding fil soubor kép
    fájl dosya resim tiedosto kuva ファイル 画像 メディア 文件 档案 檔案
    图像 圖像 媒体 媒體 파일 그림 미디어 ملف صورة وسائط קובץ תמונה
    מדיה پرونده تصویر चित्र فائل berkas gambar tập_tin lêer beeld hình fitxer imatge fișier fişier
    imagine fitxategi irudi датотека слика súbor obrázok αρχείο εικόνα ფაილი
    """
)
_CATEGORY_NAMES = words(
    """
    category kategorie catégorie categoría categoria категория категорія kategoria categorie kategori
    kategória luokka カテゴリ 分类 分類 분류 تصنيف קטגוריה رده श्रेणी thể_loại kategorija категорија κατηγορία
    კატეგორია زمرہ kategorio kategoriya flokkur
    """
)
# Codes of the language editions: a link that begins with one is a link in the page's margin.
LANGUAGES = words(
    """
    aa ab ace ady af ak als alt am an ang ar arc ary arz as ast atj av avk awa ay az azb ba ban bar
    bat-smg bcl be be-tarask be-x-old bg bh bi bjn blk bm bn bo bpy br bs bug bxr ca cbk-zam cdo ce ceb
    ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de din diq dsb dty dv dz ee el eml en eo es et
    eu ext fa ff fi fiu-vro fj fo fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got gu guw gv ha
    hak haw he hi hif ho hr hsb ht hu hy hyw hz ia id ie ig ii ik ilo inh io is it iu ja jam jbo jv ka
    kaa kab kbd kbp kcg kg ki kj kk kl km kn ko koi kr krc ks ksh ku kv kw ky la lad lb lbe lez lfn lg
    li lij lld lmo ln lo lrc lt ltg lv mad mai map-bms mdf mg mh mhr mi min mk ml mn mni mnw mr mrj ms
    mt mus mwl my myv mzn na nah nap nds nds-nl ne new ng nia nl nn no nov nqo nrm nso nv ny oc olo om
    or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn qu rm rmy rn ro roa-rup
    roa-tara ru rue rw sa sah sat sc scn sco sd se sg sh shi shn si simple sk skr sl sm smn sn so sq sr
    srn ss st stq su sv sw szl szy ta tay tcy te tet tg th ti tk tl tn to tpi tr trv ts tt tum tw ty tyv
    udm ug uk ur uz ve vec vep vi vls vo wa war wo wuu xal xh xmf yi yo za zea zh zh-classical
    zh-min-nan zh-yue zu
    """
)

_NAMESPACE = re.compile(r'<namespace key="(-?\d+)"[^>/]*>([^<]*)</namespace>')


@dataclass(frozen=True)
class Namespaces:
    """Lower-case names, with spaces, of the namespaces whose links are left out."""

    files: frozenset[str] = frozenset(name.replace("_", " ") for name in _FILE_NAMES)
    categories: frozenset[str] = frozenset(name.replace("_", " ") for name in _CATEGORY_NAMES)

    @classmethod
    def of_siteinfo(cls, xml: str) -> Namespaces:
        """With the names that a dump's head (everything before its first page) gives its own wiki."""
        names: dict[str, set[str]] = {}
        for key, name in _NAMESPACE.findall(xml):
            names.setdefault(key, set()).add(unescape(name).lower())
        known = cls()
        files = known.files | names.get("-2", set()) | names.get("6", set())
        return cls(files, known.categories | names.get("14", set()))
