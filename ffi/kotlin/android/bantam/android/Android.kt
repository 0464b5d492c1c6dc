// What Android brings: assets, and warnings about memory. The tests compile it against stand-ins for the Android SDK (tests/android).
@file:JvmName("BantamAndroid")

package bantam.android

import android.content.ComponentCallbacks2
import android.content.Context
import android.content.res.AssetFileDescriptor
import android.content.res.Configuration
import android.os.ParcelFileDescriptor
import bantam.BantamException
import bantam.Code
import bantam.Model
import bantam.ModelOptions
import bantam.Session
import bantam.TrimLevel
import java.io.File
import java.io.IOException
import java.util.WeakHashMap

/** Opens an asset in place, inside the APK or an asset pack. It must not be compressed: `androidResources { noCompress += "gguf" }`. */
@JvmOverloads
@Throws(BantamException::class, IOException::class)
public fun openAsset(context: Context, name: String, options: ModelOptions = ModelOptions()): Model =
    context.assets.openFd(name).use { openModel(it, options) }

/** Opens what an asset's descriptor describes. The descriptor may be closed afterwards. */
@JvmOverloads
@Throws(BantamException::class)
public fun openModel(asset: AssetFileDescriptor, options: ModelOptions = ModelOptions()): Model =
    // `length` asks the file where the asset's own is not declared.
    Model.open(asset.parcelFileDescriptor.fd, asset.startOffset, asset.length, options)

/** Opens a whole file by its descriptor, such as a document that the user picked. The descriptor may be closed afterwards. */
@JvmOverloads
@Throws(BantamException::class)
public fun openModel(file: ParcelFileDescriptor, options: ModelOptions = ModelOptions()): Model = Model.open(file.fd, 0, 0, options)

/**
 * What to give back at a level of `onTrimMemory`, or null for nothing.
 *
 * | level | what it says | what is given back |
 * |---|---|---|
 * | `TRIM_MEMORY_RUNNING_MODERATE` (5), `_RUNNING_LOW` (10) | in the foreground; memory gets short | scratch |
 * | `TRIM_MEMORY_RUNNING_CRITICAL` (15) | in the foreground; others are being killed | all |
 * | `TRIM_MEMORY_UI_HIDDEN` (20) | no longer seen, but perhaps back at once | scratch |
 * | `TRIM_MEMORY_BACKGROUND` (40), `_MODERATE` (60), `_COMPLETE` (80) | in the background, sooner or later killed | all |
 *
 * From Android 14 on only 20 and 40 are sent. The weights are pages of a file, which the system takes back by itself.
 */
public fun trimLevel(level: Int): TrimLevel? = when {
    level >= 40 -> TrimLevel.ALL
    level >= 20 -> TrimLevel.SCRATCH
    level >= 15 -> TrimLevel.ALL
    level >= 5 -> TrimLevel.SCRATCH
    else -> null
}

/** Trims sessions when the system asks for memory. Register it with `context.registerComponentCallbacks`, and unregister it before the sessions are closed. */
public class MemoryCallbacks(private val folder: File, private val sessions: () -> Collection<Session>) : ComponentCallbacks2 {
    override fun onTrimMemory(level: Int) {
        trim(trimLevel(level) ?: return)
    }

    @Deprecated("Deprecated in Java")
    override fun onLowMemory(): Unit = trim(TrimLevel.ALL)

    override fun onConfigurationChanged(newConfig: Configuration) {}

    private fun trim(level: TrimLevel) {
        for (session in sessions()) {
            try {
                session.trim(level, File(folder, "bantam-${Numbers.of(session)}.session").path)
            } catch (e: BantamException) {
                // One that is answering, or closed, keeps what it needs; a full disk is no reason to crash either.
                if (e.code !in setOf(Code.BUSY, Code.HANDLE, Code.IO, Code.CANCELLED)) throw e
            }
        }
    }
}

/** A number for each session, whichever lists it is in: one that was trimmed while another was shown still has its file. */
private object Numbers {
    private val numbers = WeakHashMap<Session, Int>()
    private var next = 0

    @Synchronized
    fun of(session: Session): Int = numbers.getOrPut(session) { next++ }
}
